"""How a run is trained."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from moelib.study.base import Frozen, Probability, Share, Switchable, rule
from moelib.study.gpu import has_gpu


class MultiStep(Frozen):
    """The paper's schedule: the learning rate is multiplied by gamma after each milestone epoch."""

    kind: Literal["multistep"]
    milestones: tuple[PositiveInt, ...] = (30, 40)
    gamma: PositiveFloat = 0.1


class OneCycle(Frozen):
    """Linear warm-up from 1/5 of the peak over a share of all steps, then linear decay to 0."""

    kind: Literal["onecycle"]
    warmup: Share = 0.2


def _this_machine(device: str) -> str:
    return ("cuda" if has_gpu() else "cpu") if device == "auto" else device


# auto: a GPU where there is one, else the CPU, of the machine that reads the study. So it is one of
# the two once it is read, as in records. On a cluster name it: the scheduling node may have no GPU.
Device = Annotated[Literal["auto", "cpu", "cuda"], AfterValidator(_this_machine)]


class Training(Frozen):
    """SGD with momentum; the numerical format; how often the state is kept."""

    epochs: PositiveInt
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 0.1  # the peak
    momentum: Probability = 0.9
    nesterov: bool = False
    weight_decay: NonNegativeFloat = 0.0005  # on every parameter
    label_smoothing: Probability = 0.0
    schedule: Annotated[MultiStep | OneCycle, Field(discriminator="kind")] = MultiStep(
        kind="multistep"
    )
    device: Device = "cpu"
    threads: PositiveInt = 1  # of torch on the CPU; part of the study, since sums depend on it
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"  # auto: `moelib.training.device`
    channels_last: Switchable = "auto"
    compile: Switchable = "auto"
    checkpoint_every: PositiveInt = 1  # epochs
    curve_images: PositiveInt | None = None  # training images in the curves; default: all

    @rule
    def _possible(self) -> None:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        if self.precision == "tf32" and self.device == "cpu":
            raise ValueError("precision tf32 needs a cuda device; a cpu has fp32 and bf16")
        never = [m for m in getattr(self.schedule, "milestones", ()) if m >= self.epochs]
        if never:  # erratum H20: the authors' milestones were the same for any number of epochs
            raise ValueError(
                f"schedule.milestones {', '.join(map(str, never))} never come in {self.epochs} "
                f"epochs: a milestone is less than epochs; [] is a constant learning rate"
            )
