"""The least time that a pass can take: its operations, its bytes, and a machine's best rates."""

from typing import NamedTuple

from moelib.records.cost import Peaks
from moelib.study.shapes import Shape

BYTES = 2  # of a number in bfloat16


class Demand(NamedTuple):
    """What a pass cannot do without."""

    operations: float  # two for a multiply-add
    bytes: float  # of weights, each that is met read once, and of the cache


def touched(experts: int, k: int, tokens: int) -> float:
    """Expected number of different experts of a layer under uniform routing: E (1 - (1 - k/E)^n).

    >>> round(touched(64, 8, 1)), round(touched(64, 8, 32), 1)
    (8, 63.1)
    """
    return experts * (1 - (1 - k / experts) ** tokens)


def demand(
    shape: Shape,
    mode: str,
    batch: int,
    context: int,
    *,
    part: str = "model",
    layers: int | None = None,
    slots: float | None = None,
    met: float | None = None,
) -> Demand:
    """Operations and bytes of a pass over `batch` sequences.

    Activations, norms, and writing the cache are left out, and the input embedding is a look-up.

    Args:
        shape: of the model.
        mode: "prefill" of `context` tokens each, or "decode" of one token after context - 1 others.
        batch: number of sequences.
        context: tokens of each.
        part: "model" with the unembedding of one token a sequence, "block" without, or "mlp": the
            experts and routers alone.
        layers: how many; None: all. Fewer are taken of those with experts.
        slots: executed experts per token; None: k.
        met: different experts per layer; None: `touched`.
    """
    layers = shape.layers if layers is None else layers
    dense = shape.dense_layers if layers == shape.layers else 0
    tokens = batch * (1 if mode == "decode" else context)
    slots = shape.k if slots is None else slots
    met = touched(shape.experts, shape.k, tokens) if met is None else met
    others = dense * 3 * shape.width * shape.dense_hidden
    others += 0 if part == "mlp" else layers * shape.attention
    active = others + (layers - dense) * shape.mlp(slots)
    read = others + (layers - dense) * shape.mlp(met)
    operations, numbers = 2 * tokens * active, read
    if part != "mlp":
        # Scores and sums over values; in prefill over half of all pairs of tokens.
        pairs = context * batch if mode == "decode" else context**2 / 2 * batch
        operations += 4 * pairs * shape.heads * shape.head_width * layers
        if mode == "decode":
            numbers += batch * context * shape.cached * layers / shape.layers
    if part == "model":
        unembedding = shape.width * shape.vocabulary
        operations += 2 * batch * unembedding
        numbers += unembedding
    return Demand(operations, BYTES * numbers)


def memory_rate(peaks: Peaks) -> float:
    """Gigabytes per second of the memory, copied or read, whichever was faster."""
    return max(peaks.gigabytes, peaks.read_gigabytes)


def least_ms(demand: Demand, peaks: Peaks) -> float:
    """Milliseconds by whichever bound is higher: arithmetic or memory."""
    arithmetic = demand.operations / peaks.teraflops / 1e9
    return max(arithmetic, demand.bytes / memory_rate(peaks) / 1e6)
