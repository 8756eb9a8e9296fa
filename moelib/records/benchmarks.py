"""What scripts measure beside the studies: times of two ways, of heads at scale, of a session."""

import statistics
from typing import ClassVar, Literal

from moelib.records.record import Numbers
from moelib.study.base import Frozen


class Case(Frozen):
    """One setting in which both ways were timed: times of each repeat, in pairs."""

    setting: dict[str, str | int]
    baseline: tuple[float, ...]
    candidate: tuple[float, ...]
    target_ratio: float | None = None  # baseline / candidate that was aimed at beforehand

    def ratios(self) -> list[float]:
        """Baseline over candidate, pair by pair: how many times faster the candidate is."""
        return [a / b for a, b in zip(self.baseline, self.candidate, strict=True)]

    def ratio_quartiles(self) -> list[float]:
        """Lower quartile, median and upper quartile of the ratios."""
        return statistics.quantiles(self.ratios(), n=4, method="inclusive")


class BenchmarkNumbers(Numbers):
    """A benchmark: what is compared, and every single time."""

    kind: ClassVar[str] = "benchmark"
    digits: ClassVar[int] = 4  # a clock tells no more

    name: str
    question: str
    baseline: str  # the straightforward way
    candidate: str  # this project's way
    unit: str  # of the times
    cases: tuple[Case, ...]


class ScalePoint(Frozen):
    """A sparse head beside two dense ones, on a plan that gives its experts equal shares.

    Times are in ms; those of one index are of one round.
    """

    experts: int
    k: int
    features: int
    hidden: int  # units of each expert
    batch: int
    dtype: Literal["float32", "bfloat16"]
    chosen: str  # the executor that the rule chose then
    sparse: dict[str, tuple[float, ...]]  # executor -> times
    total: tuple[float, ...]  # a dense head with as many hidden units as all experts
    active: tuple[float, ...]  # a dense head with as many hidden units as k experts


class Aim(Frozen):
    """What was aimed at beforehand, at one size in every precision."""

    experts: int
    k: int
    features: int
    hidden: int
    batch: int
    speedup: float  # over the dense head of equal total parameters, at least
    overhead: float  # times the time of the dense head of equal active parameters, at most


class ScaleNumbers(Numbers):
    """When conditional computation pays: head latency over sparsity, width and batch."""

    kind: ClassVar[str] = "scale"
    digits: ClassVar[int] = 4  # a clock tells no more

    classes: int
    gigaflops: dict[str, float]  # dtype -> of a large matrix product, two for a multiply-accumulate
    gigabytes: float  # per second, read by a product of a large matrix and a vector
    aim: Aim
    points: tuple[ScalePoint, ...]


class Task(Frozen):
    """Records of one run that one process made within a session."""

    head: str
    seed: int
    kinds: tuple[str, ...]
    start_s: float  # since the session began
    end_s: float
    succeeded: bool


class SessionNumbers(Numbers):
    """What was done on one machine at one time, several tasks at once, and what it took."""

    kind: ClassVar[str] = "session"
    tables: ClassVar[tuple[str, ...]] = ("tasks",)

    workers: int  # tasks at once
    seconds: float
    energy_joules: float | None  # of the GPU, everything on it; null where the device tells none
    tasks: tuple[Task, ...]
