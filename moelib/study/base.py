"""What the declarations of a study share: frozen, strict objects, and the error of a refusal."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

PROJECT = Path(__file__).resolve().parents[2]  # the checkout: moelib is installed in editable mode

Share = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what torch's generators take
Switchable = Literal[True, False, "auto"]


class ConfigError(ValueError):
    """A study, a parameter or an environment that cannot be run; the message is a full sentence."""


class Frozen(BaseModel):
    """Immutable, strict about types, and closed: no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
