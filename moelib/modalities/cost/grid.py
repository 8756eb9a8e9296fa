"""What is timed: panels of arms, those first that the predictions need most.

The arms of a panel are timed in the same rounds, so that their ratios can be trusted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from moelib.modalities.cost.traces import TRACES
from moelib.study.shapes import (
    DEEPSEEK,
    MOE_LLAVA,
    OLMOE,
    QWEN3,
    TINYLLAMA,
    VICUNA_7B,
    VICUNA_13B,
    VISION,
    Shape,
)

CONTEXT = 640  # one image of 576 patches and 64 words
PATCHES = 577  # of one image and its class token
PUBLISHED = (VICUNA_7B, DEEPSEEK, OLMOE, QWEN3, VICUNA_13B, TINYLLAMA)
ACTIVE = OLMOE.model_copy(
    update={"name": "OLMoE, dense, equal active", "hidden": 8 * 1024, "experts": 1, "k": 1}
)
TOTAL = OLMOE.model_copy(
    update={"name": "OLMoE, dense, equal total", "hidden": 64 * 1024, "experts": 1, "k": 1}
)
SOFT = OLMOE.model_copy(update={"name": "OLMoE, soft", "k": 64})
FAMILY = {8: (1, 2, 4, 8), 16: (1, 2, 4, 8, 16), 64: (1, 2, 4, 8, 16, 32, 64), 128: (8,)}
CEILING = 65536  # tokens of a prefill


@dataclass(frozen=True)
class Arm:
    """One way of computing."""

    name: str
    shape: Shape
    executor: str | None = "grouped"
    trace: str | None = "uniform"
    layers: int | None = None  # None: all on a GPU, one on a CPU

    @property
    def routed(self) -> bool:
        """Whether there is anything to route."""
        return self.shape.experts > 1


@dataclass(frozen=True)
class Panel:
    """Arms at one size: sequences of so many tokens, whole models or the experts of all layers."""

    name: str
    part: Literal["model", "mlp"]
    mode: Literal["prefill", "decode"]
    batch: int
    context: int
    arms: tuple[Arm, ...]


def dense(shape: Shape) -> Arm:
    """A model without experts."""
    return Arm(shape.name, shape, None, None)


def published(mode: str, batch: int, context: int, shapes: tuple[Shape, ...] = PUBLISHED) -> Panel:
    """Published models, uniform routing."""
    arms = (Arm(shape.name, shape) if shape.experts > 1 else dense(shape) for shape in shapes)
    return Panel("published", "model", mode, batch, context, tuple(arms))


def kinds(
    part: str, mode: str, batch: int, context: int = CONTEXT, traces: tuple[str, ...] = TRACES
) -> Panel:
    """Every kind of perceptron in OLMoE, so that all have the same attention and cache."""
    arms = [dense(ACTIVE), *(Arm(f"top-8, {name}", OLMOE, "grouped", name) for name in traces)]
    if traces == TRACES and batch * (1 if mode == "decode" else context) <= 8 * CONTEXT:
        arms += [dense(TOTAL), Arm("soft", SOFT, "masked")]
    return Panel("kinds", part, mode, batch, context, tuple(arms))


def executors(tokens: int, traces: tuple[str, ...] = ("uniform",)) -> Panel:
    """Every executor on the experts of OLMoE, beside a dense perceptron of equal active size."""
    arms = [dense(ACTIVE)]
    for trace in traces:
        names = ["grouped", "padded", "loop", "masked"]
        arms += [Arm(f"{name}, {trace}", OLMOE, name, trace) for name in names]
    return Panel("executors", "mlp", "prefill", 1, tokens, tuple(arms))


def family(mode: str, batch: int, context: int) -> Panel:
    """Experts of one total width, k of E of them, beside the dense perceptron of that width."""
    arms = [dense(TOTAL)]
    for experts, ks in FAMILY.items():
        for k in ks:
            size = {"experts": experts, "k": k, "hidden": TOTAL.hidden // experts}
            shape = OLMOE.model_copy(update={"name": f"OLMoE, {k} of {experts}", **size})
            # Where all are chosen, sorting tokens by expert is for nothing.
            arms.append(Arm(f"{k} of {experts}", shape, "masked" if k == experts else "grouped"))
    return Panel("family", "mlp", mode, batch, context, tuple(arms))


def additivity(mode: str, batch: int, context: int) -> Panel:
    """Some layers of two models, and all of one: whether a model takes the time of its layers."""
    arms = [
        Arm(f"{shape.name}, {layers} layers", shape, "grouped", "uniform", layers)
        for shape, depths in ((TINYLLAMA, (1, 2, 4, 22)), (OLMOE, (1, 2)))
        for layers in depths
    ]
    return Panel("additivity", "model", mode, batch, context, tuple(arms))


def gpu() -> Iterator[Panel]:
    """Everything, in the order of its value."""
    yield published("decode", 1, CONTEXT, PUBLISHED + MOE_LLAVA)
    for batch in (8, 32, 128):
        yield published("decode", batch, CONTEXT)
    for tokens in (640, 2048, 5120, 64):
        yield executors(tokens)
    yield kinds("mlp", "decode", 1)
    yield kinds("mlp", "decode", 32)
    yield kinds("model", "prefill", 8)
    yield kinds("model", "decode", 32)
    for batch in (4, 16, 64):
        yield published("decode", batch, CONTEXT)
    yield published("prefill", 1, CONTEXT, PUBLISHED + MOE_LLAVA)
    yield published("prefill", 8, CONTEXT)
    yield published("prefill", 1, PATCHES, (VISION,))
    yield published("prefill", 8, PATCHES, (VISION,))
    yield executors(8)
    yield executors(16384)
    yield family("decode", 1, CONTEXT)
    yield family("decode", 32, CONTEXT)
    yield family("prefill", 1, CONTEXT)
    yield kinds("model", "decode", 1)
    yield kinds("model", "prefill", 1)
    yield family("prefill", 8, CONTEXT)
    yield kinds("model", "decode", 128)
    for context in (64, 1216, 2304):
        yield published("prefill", 1, context)
    yield executors(640, ("zipf", "adversarial"))
    for context in (64, 1216, 2304):
        yield published("prefill", 8, context)
    for context in (64, 2304):
        for batch in (1, 32):
            yield published("decode", batch, context)


def cpu() -> Iterator[Panel]:
    """What one thread can time in minutes; a single layer of each model stands for all of them."""
    for batch in (1, 8, 32):
        yield published("decode", batch, CONTEXT)
    yield published("prefill", 1, CONTEXT)
    for tokens in (64, 640, 2048):
        yield executors(tokens)
    yield kinds("mlp", "decode", 1)
    yield kinds("mlp", "decode", 32)
    yield kinds("model", "prefill", 1)
    yield kinds("model", "decode", 32)
    yield additivity("decode", 1, CONTEXT)
    yield additivity("prefill", 1, CONTEXT)
    yield family("decode", 1, CONTEXT)
    yield family("decode", 32, CONTEXT)
    yield family("prefill", 1, CONTEXT)
    yield published("prefill", 1, 64)
    yield published("decode", 4, CONTEXT)
    yield published("decode", 16, CONTEXT)
    yield kinds("model", "prefill", 8, CONTEXT, ("uniform", "guided", "variable"))


def tiny() -> Iterator[Panel]:
    """One panel of each name and mode, of shrunk shapes: for tests, notebooks and rehearsals."""
    yield published("decode", 2, 12, PUBLISHED + MOE_LLAVA)
    yield published("prefill", 2, 12)
    yield executors(24, ("uniform", "adversarial"))
    yield kinds("mlp", "decode", 2)
    yield kinds("model", "prefill", 2, 12)
    yield family("decode", 2, 12)


def shrunk(shape: Shape) -> Shape:
    """A shape of the same name and structure with small matrices; k/E may be another one."""
    return shape.model_copy(
        update={
            "layers": 2,
            "width": 64,
            "hidden": 32 * max(1, 64 // shape.experts // 8),
            "heads": 4,
            "cached_heads": 4 if shape.heads == shape.cached_heads else 2,
            "head_width": 16,
            "vocabulary": 128,
            "dense_layers": min(shape.dense_layers, 1),
            "dense_hidden": 128 if shape.dense_layers else 0,
        }
    )
