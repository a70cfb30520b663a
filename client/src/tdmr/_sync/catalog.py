# Generated from _async by client/tools; not to be edited.
"""What the workers can build."""

from __future__ import annotations

from tdmr import models
from tdmr._sync._pages import Pages
from tdmr._sync._transport import Transport


class Teachers:
    """`client.teachers`: pretrained networks to learn from."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, search: str = "", *, limit: int | None = None) -> Pages[models.Teacher]:
        """By name.

        Args:
            search: text contained in the name or family.
            limit: at most so many.
        """
        params = {"q": search or None}
        return Pages(self._transport, "/v1/teachers", models.Teacher.model_validate, params, limit)


class Students:
    """`client.students`: architectures to train."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, search: str = "", *, limit: int | None = None) -> Pages[models.Student]:
        """By name.

        Args:
            search: text contained in the name or family.
            limit: at most so many.
        """
        params = {"q": search or None}
        return Pages(self._transport, "/v1/students", models.Student.model_validate, params, limit)
