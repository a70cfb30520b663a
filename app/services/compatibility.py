"""What is known to be impossible is refused when a job is created, and not after it has waited and trained."""

from collections.abc import Iterable, Sequence

from app.domain.catalog import StudentCard, TeacherCard
from app.domain.errors import ModelRefused
from app.domain.spec import JobSpec
from app.services.catalog import Card, Offer

_NAMED = 3
"""How many others a hint names."""


def require_possible(
    offer: Offer, spec: JobSpec, teachers: Sequence[TeacherCard], students: Sequence[StudentCard]
) -> None:
    """
    Args:
        teachers, students: the cards of what the job names.

    Raises:
        ModelRefused: with the reason that the catalogue knows, and what to ask for instead.
    """
    for teacher in teachers:
        if teacher.refused and spec.method_info.needs_teacher:
            others = _nearest(teacher, offer.teachers.values())
            raise ModelRefused(
                f"'{teacher.name}' cannot teach: {_sentence(teacher.refused)}",
                hint=_instead(others, "GET /v1/teachers"),
                param="teacher" if spec.teachers is None else "teachers",
            )
    for card in students:
        _require_student(offer, spec, card)


def _require_student(offer: Offer, spec: JobSpec, card: StudentCard) -> None:
    if card.refused:
        others = _nearest(card, offer.students.values())
        raise ModelRefused(
            f"'{card.name}' cannot be trained: {_sentence(card.refused)}",
            hint=_instead(others, "GET /v1/students"),
            param="student" if spec.students is None else "students",
        )
    if spec.image_size in card.refused_sizes:
        raise ModelRefused(
            f"'{card.name}' does not take images of {spec.image_size} px.",
            hint=f"Set image_size to {card.takes_size}, or choose another student.",
            param="image_size",
        )
    refused = [chosen for chosen in spec.export.formats if chosen in card.refused_formats]
    if refused:
        left = [chosen for chosen in type(refused[0]) if chosen not in card.refused_formats]
        instead = f"Ask for {', '.join(repr(str(chosen)) for chosen in left)}" if left else ""
        raise ModelRefused(
            f"'{card.name}' cannot be exported as '{refused[0]}': {_sentence(card.refused_formats[refused[0]])}",
            hint=f"{instead} in export.formats, or choose another student." if left else "Choose another student.",
            param="export.formats",
        )


def _nearest(card: Card, others: Iterable[Card]) -> list[str]:
    """Of its family and size, as far as they are not refused too."""
    usable = [other for other in others if other.family == card.family and not other.refused]
    size = card.parameters or 0
    return [other.name for other in sorted(usable, key=lambda other: abs((other.parameters or 0) - size))[:_NAMED]]


def _instead(names: Sequence[str], where: str) -> str:
    listed = f"{where} lists what there is."
    return f"Of the same family there is {' or '.join(names)}. {listed}" if names else f"Choose another one; {listed}"


def _sentence(reason: str) -> str:
    return reason if reason.endswith((".", "…")) else f"{reason}."
