"""The base of every problem, and the catalogue in which they stand by their codes."""

from typing import ClassVar

CATALOGUE: dict[str, type["TdmrError"]] = {}
"""Every problem by its code."""


class TdmrError(Exception):
    """A problem that a user is told about. `detail` says what happened, `hint` what to do."""

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "Something went wrong"
    status: ClassVar[int | None] = None
    """None: never an HTTP answer, only the stored `error` of a job or a data set. Subclasses inherit it."""
    example: ClassVar[str] = ""
    """A `detail` for the documentation."""

    def __init_subclass__(
        cls, *, code: str | None = None, title: str = "", status: int | None = None, example: str = ""
    ) -> None:
        super().__init_subclass__()
        if code is None:
            return  # the same problem under another name
        assert title and code not in CATALOGUE, f"{cls.__name__} needs a code and a title of its own"
        cls.code, cls.title, cls.example = code, title, example
        if status is not None:
            cls.status = status
        CATALOGUE[code] = cls

    def __init__(self, detail: str, *, hint: str | None = None, param: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.param = param

    @classmethod
    def description(cls) -> str:
        """What this problem means, in one sentence."""
        return (cls.__doc__ or "").partition("\n\n")[0]

    def as_problem(self) -> dict[str, str | None]:
        """The stored `error` of a failed job or a rejected data set."""
        return {"code": self.code, "title": self.title, "detail": self.detail, "hint": self.hint}
