"""The base of everything that crosses a boundary between rooms."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Immutable, strict about unknown keys and about NaN and infinities: a typo is an error, never silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
