"""What the declarations of a study share: frozen, strict objects, and the error of a refusal."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

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


RECORDED = {"recorded": True}  # the context in which a record is validated


def rule(check: Callable[[Any], None]) -> Any:
    """Make a method that raises ValueError a rule for what is to be run.

    A record keeps the study that it was made by: rules that came later do not apply to it.
    """

    def validate(self: Any, info: ValidationInfo) -> Any:
        if info.context != RECORDED:
            check(self)
        return self

    return model_validator(mode="after")(validate)
