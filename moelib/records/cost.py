"""The kind of record that says what models cost at true shapes, with random weights."""

from typing import ClassVar, Literal

from moelib.records.record import Numbers
from moelib.study.base import Frozen
from moelib.study.shapes import Shape


class Peaks(Frozen):
    """What the machine can do at best, measured in the same run."""

    teraflops: float  # of a large product of random bfloat16 matrices; two for a multiply-add
    gigabytes: float  # per second, of a large copy, bytes read and bytes written
    read_gigabytes: float = 0.0  # per second, of a large matrix times a vector; 0: not measured


class Check(Frozen):
    """An executor beside the plain sum over experts in float32, before anything is timed."""

    executor: str
    trace: str
    error: float | None  # |y - reference| / |reference|; null: it did not run
    fault: str | None = None


class CostCell(Frozen):
    """One way of computing, and its times; those of one panel and one index are of one round."""

    panel: str
    arm: str  # what it is called in its panel
    shape: str  # its name
    part: Literal["model", "block", "mlp"]
    mode: Literal["prefill", "decode"]
    batch: int  # sequences
    context: int  # tokens of each, in decode the cached ones and the new one
    layers: int  # that were run
    executor: str | None  # null: dense
    trace: str | None
    graphed: bool  # replayed as one CUDA graph
    milliseconds: tuple[float, ...]  # of one pass; empty: it did not run
    slots: float | None  # executed experts per token, mean over layers
    touched: float | None  # experts with any token, mean over layers
    largest: float | None  # tokens of the busiest expert, mean over layers
    fault: str | None = None  # why it did not run


class Prediction(Frozen):
    """What was expected before anything was measured, and when it holds."""

    name: str
    statement: str
    criterion: str


class CostNumbers(Numbers):
    """Times of models of published shapes with random weights, in bfloat16, on one device."""

    kind: ClassVar[str] = "cost"
    tables: ClassVar[tuple[str, ...]] = ("cells",)

    tiny: bool  # shapes were shrunk: the times mean nothing
    seconds: float  # that the run was given
    whole: bool  # everything planned was tried within them
    beside: str  # what else the machine did meanwhile
    loads: tuple[float, float]  # mean number of waiting processes before and after; 0 if unknown
    predictions: tuple[Prediction, ...]
    peaks: Peaks
    checks: tuple[Check, ...]
    shapes: tuple[Shape, ...]
    cells: tuple[CostCell, ...]


class TrafficCase(Frozen):
    """What one layer's tokens send, with their experts on several devices: counts, no times."""

    source: str  # of the routing: a trace, or a trained router
    devices: int
    placement: Literal["in order", "by modality"]  # of the experts
    homes: Literal["sequences", "modalities"]  # by what tokens are dealt to devices
    experts: int
    width: int  # numbers of a hidden state
    hidden: int  # units of an expert
    tokens: int
    choices: int  # executed
    leaving: float  # share of tokens with at least one choice on another device than their own
    leaving_words: float | None
    leaving_patches: float | None  # null: there are none
    away: float  # share of choices on another device
    copies: int  # tokens that are sent, once for each device that they are sent to
    busiest_link: int  # of them, most that one device sends or receives
    busiest_load: int  # most choices on one device


class TrafficNumbers(Numbers):
    """Expert-parallel traffic of routings on virtual devices."""

    kind: ClassVar[str] = "traffic"
    tables: ClassVar[tuple[str, ...]] = ("cases",)

    cases: tuple[TrafficCase, ...]
