"""A decoder of any shape with random weights: RMSNorm, rotary attention, SwiGLU experts.

Weights are views of one pool of random numbers that is filled once, so that every shape can be
timed beside every other. No gain of a norm and no bias is kept: they cost nothing next to matrices.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from moelib.modalities.cost.experts import EXECUTORS, Plan, Weights, perceptron
from moelib.modalities.cost.traces import Trace
from moelib.study.base import ConfigError
from moelib.study.shapes import Shape

ALIGNMENT = 128  # elements: matrices start at whole lines of memory
ROTARY_BASE = 10000.0
SCALE = 0.02  # standard deviation of weights: activations stay finite through any depth
PIECE = 2**24 + 1  # random numbers that are drawn; the pool repeats them


class Pool:
    """Random numbers, N(0, `SCALE`^2), of which matrices are views."""

    def __init__(self, size: int, device: str, dtype: torch.dtype = torch.bfloat16):
        generator = torch.Generator(device).manual_seed(0)
        piece = torch.empty(min(PIECE, size), dtype=dtype, device=device)
        piece.normal_(0, SCALE, generator=generator)
        self.numbers = torch.empty(size, dtype=dtype, device=device)
        for part in self.numbers.split(len(piece)):
            part.copy_(piece[: len(part)])
        self.taken = 0

    def take(self, *shape: int) -> Tensor:
        """The next numbers, as a tensor of this shape.

        Raises:
            ConfigError: not so many are left.
        """
        start = -(-self.taken // ALIGNMENT) * ALIGNMENT
        self.taken = start + torch.Size(shape).numel()
        if self.taken > len(self.numbers):
            raise ConfigError(
                f"The pool holds {len(self.numbers):,} numbers, and {self.taken:,} are needed."
            )
        return self.numbers[start : self.taken].view(shape)


class Layer(NamedTuple):
    """The matrices of one block."""

    qkv: Tensor  # ((heads + 2 cached heads) head width, d)
    out: Tensor  # (d, heads head width)
    router: Tensor | None  # (e, d); None: a dense layer
    experts: Weights
    shared: Weights | None  # one perceptron as wide as all shared experts


class Draw(NamedTuple):
    """A trace of one layer, and what the host knows of it."""

    trace: Trace
    slots: int  # executed choices
    largest: int  # most of one expert
    touched: int  # experts with any


class Call(NamedTuple):
    """What one pass is told beside the tokens."""

    shape: Shape
    executor: str
    draws: list[Draw]  # taken in turn by the layers; () for a dense shape
    rotation: tuple[Tensor, Tensor]  # (t, 1, head width) each: cosines, sines


def build_layers(shape: Shape, pool: Pool, layers: int, attention: bool = True) -> list[Layer]:
    """The first `layers` blocks of a shape, with or without their attention."""
    d, h = shape.width, shape.hidden
    built = []
    for index in range(layers):
        heads = (shape.heads + 2 * shape.cached_heads) * shape.head_width
        qkv = pool.take(heads if attention else 0, d)
        out = pool.take(d, shape.heads * shape.head_width if attention else 0)
        dense = index < shape.dense_layers
        experts, units = (1, shape.dense_hidden) if dense else (shape.experts, h)
        built.append(
            Layer(
                qkv,
                out,
                pool.take(experts, d) if experts > 1 else None,
                _weights(pool, experts, d, units),
                _weights(pool, 1, d, shape.shared * h) if shape.shared and not dense else None,
            )
        )
    return built


def _weights(pool: Pool, experts: int, d: int, h: int) -> Weights:
    return Weights(pool.take(experts, 2 * h, d), pool.take(experts, d, h))


def draw(trace: Trace, k: int) -> Draw:
    """Count what the plan of a trace will execute."""
    indices = trace.scores.topk(k, dim=1).indices
    chosen = indices.flatten() if trace.kept is None else indices[trace.kept]
    loads = chosen.bincount(minlength=trace.scores.shape[1])
    return Draw(trace, len(chosen), int(loads.max()), int((loads > 0).sum()))


def rotation(context: int, shape: Shape, start: int, device: str) -> tuple[Tensor, Tensor]:
    """Cosines and sines (t, 1, head width) of rotary positions start to context - 1 (Su 2021)."""
    half = shape.head_width // 2
    rates = ROTARY_BASE ** -(torch.arange(half, device=device) / half)
    angles = torch.arange(start, context, device=device).unsqueeze(1) * rates
    angles = angles.repeat(1, 2).unsqueeze(1)
    return angles.cos().to(torch.bfloat16), angles.sin().to(torch.bfloat16)


def mlp(features: Tensor, layer: Layer, draw: Draw | None, call: Call) -> Tensor:
    """Experts of one layer on tokens (n, d): router, plan, executor, and shared experts.

    The router is computed, and then the trace's scores are ranked in place of its own.
    """
    if layer.router is None:
        return perceptron(features, layer.experts.up[0], layer.experts.down[0])
    logits = F.linear(features, layer.router)  # (n, e)
    ranked = draw.trace.scores.add(logits, alpha=0)  # (n, e) float32
    outputs = EXECUTORS[call.executor](features, plan(ranked, call.shape.k, draw), layer.experts)
    if layer.shared is not None:
        outputs = outputs + perceptron(features, layer.shared.up[0], layer.shared.down[0])
    return outputs


def plan(scores: Tensor, k: int, draw: Draw) -> Plan:
    """The k largest scores (n, e) of each token, weighted by a softmax over these k."""
    top = scores.topk(k, dim=1)
    return Plan(top.indices, top.values.softmax(dim=1), draw.trace.kept, draw.slots, draw.largest)


def attention(
    features: Tensor, layer: Layer, cache: tuple[Tensor, Tensor] | None, call: Call
) -> Tensor:
    """Attention of (b, t, d): causal over t without a cache, else of one token over the cache.

    A cache holds keys and values (b, cached heads, context, head width); the token's own are
    written at its end.
    """
    shape, (b, t, _) = call.shape, features.shape
    qkv = F.linear(features, layer.qkv).view(b, t, -1, shape.head_width)
    turned = shape.heads + shape.cached_heads
    rotated = _rotated(qkv[:, :, :turned], call.rotation).transpose(1, 2)
    queries, keys = rotated.split([shape.heads, shape.cached_heads], dim=1)
    values = qkv[:, :, turned:].transpose(1, 2)
    if cache is None:
        grouped = shape.heads != shape.cached_heads
        seen = F.scaled_dot_product_attention(
            queries, keys, values, is_causal=True, enable_gqa=grouped
        )
    else:
        cache[0][:, :, -1:], cache[1][:, :, -1:] = keys, values
        # Heads that share keys are queries of one head: nothing of the cache is copied.
        together = queries.reshape(b, shape.cached_heads, -1, shape.head_width)
        seen = F.scaled_dot_product_attention(together, *cache).view(b, shape.heads, 1, -1)
    return F.linear(seen.transpose(1, 2).flatten(2), layer.out)


def forward(
    features: Tensor,
    layers: list[Layer],
    caches: list[tuple[Tensor, Tensor]] | None,
    unembedding: Tensor | None,
    call: Call,
) -> Tensor:
    """All blocks on (b, t, d), and logits (b, vocabulary) of the last token if wanted."""
    width = features.shape[-1:]
    for index, layer in enumerate(layers):
        cache = None if caches is None else caches[index]
        features = features + attention(F.rms_norm(features, width), layer, cache, call)
        tokens = F.rms_norm(features, width).view(-1, *width)
        features = features + mlp(tokens, layer, _of(call, index), call).view_as(features)
    if unembedding is None:
        return features
    return F.linear(F.rms_norm(features[:, -1], width), unembedding)


def perceptrons(features: Tensor, layers: list[Layer], call: Call) -> Tensor:
    """The experts of all layers one after the other, each on the same tokens (n, d)."""
    for index, layer in enumerate(layers):
        outputs = mlp(features, layer, _of(call, index), call)
    return outputs


def _of(call: Call, index: int) -> Draw | None:
    return call.draws[index % len(call.draws)] if call.draws else None


def _rotated(heads: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions on (b, t, heads, head width): halves are the parts of complex numbers."""
    cosines, sines = rotation
    first, second = heads.chunk(2, dim=-1)
    return (heads * cosines).addcmul_(torch.cat([-second, first], dim=-1), sines)
