"""What the workers can build."""

from __future__ import annotations

from tdmr import models
from tdmr._async._pages import AsyncPages
from tdmr._async._transport import AsyncTransport


class AsyncTeachers:
    """`client.teachers`: pretrained networks to learn from."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def list(self, search: str = "", *, limit: int | None = None) -> AsyncPages[models.Teacher]:
        """By name.

        Args:
            search: text contained in the name or family.
            limit: at most so many.
        """
        params = {"q": search or None}
        return AsyncPages(self._transport, "/v1/teachers", models.Teacher.model_validate, params, limit)


class AsyncStudents:
    """`client.students`: architectures to train."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def list(self, search: str = "", *, limit: int | None = None) -> AsyncPages[models.Student]:
        """By name.

        Args:
            search: text contained in the name or family.
            limit: at most so many.
        """
        params = {"q": search or None}
        return AsyncPages(self._transport, "/v1/students", models.Student.model_validate, params, limit)
