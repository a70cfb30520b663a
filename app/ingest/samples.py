"""Images with more than 8 bits a sample that use little of their range, as those of 12-bit sensors in 16-bit files."""

from collections.abc import Sequence

from app.ingest.picture import LOW_CONTRAST, Picture


def stretched_levels(pictures: Sequence[Picture]) -> tuple[int, int] | None:
    """The lowest and the highest sample of all such images, for all of them alike: one of its own for each would make a
    dark picture as bright as a bright one."""
    levels = [picture.levels for picture in pictures if picture.levels is not None]
    if not levels:
        return None
    low, high = min(low for low, _, _ in levels), max(high for _, high, _ in levels)
    return (low, high) if high > low else None


def sample_warnings(pictures: Sequence[Picture], stretched: tuple[int, int] | None) -> list[str]:
    """At most one sentence, with the measured range.

    Args:
        pictures: all usable images.
        stretched: the samples that were made black and white, where that was asked for.
    """
    deep = [picture.levels for picture in pictures if picture.levels is not None]
    if not deep:
        return []
    low, high = min(low for low, _, _ in deep), max(high for _, high, _ in deep)
    white = max(white for *_, white in deep)
    if stretched is not None:
        return [
            f"The values {stretched[0]:,} to {stretched[1]:,} of {len(deep):,} images with more than 8 bits were "
            "spread over black to white, as you asked. Do the same to every image that you send the student."
        ]
    if high - low > LOW_CONTRAST * white:
        return []
    return [
        f"{len(deep):,} images with more than 8 bits use the values {low:,} to {high:,} of 0 to {white:,}: after "
        f"rescaling to 8 bits that is {max(1, round(255 * (high - low) / white))} of 256 levels, nearly one colour. "
        "Upload them again with `stretch` = true, or scale them yourself, and do the same to what you send the student."
    ]
