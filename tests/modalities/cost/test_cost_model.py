"""The decoder: attention and blocks beside what they must agree with."""

import pytest
import torch
import torch.nn.functional as F
from prose import refusal

from moelib.modalities.cost import model
from moelib.modalities.cost.grid import OLMOE, QWEN3, TINYLLAMA, shrunk
from moelib.modalities.cost.model import Call, Pool
from moelib.modalities.cost.traces import trace
from moelib.study.base import ConfigError

B, T = 2, 7


def built(shape, layers=2):
    pool = Pool(2**21, "cpu", torch.float32)
    pool.numbers.mul_(10)  # scores that differ
    return pool, model.build_layers(shape, pool, layers)


def call(shape, start=0, draws=()):
    cosines, sines = model.rotation(T, shape, start, "cpu")
    return Call(shape, "loop", list(draws), (cosines.float(), sines.float()))


def naive_attention(features, layer, shape):
    """Of every token over those before it, head by head, position by position."""
    qkv = (features @ layer.qkv.T).view(B, T, -1, shape.head_width)
    half = shape.head_width // 2
    cosines, sines = (table[:, 0] for table in call(shape).rotation)
    rotated = qkv.clone()
    for i in range(half):  # a rotation of each plane (i, i + half) by the position's angle
        x, y = qkv[..., i], qkv[..., i + half]
        c, s = cosines[:, i].unsqueeze(1), sines[:, i].unsqueeze(1)
        rotated[..., i], rotated[..., i + half] = x * c - y * s, y * c + x * s
    outputs = torch.zeros(B, T, shape.heads, shape.head_width)
    for head in range(shape.heads):
        shared = shape.heads + head // (shape.heads // shape.cached_heads)
        queries, keys = rotated[:, :, head], rotated[:, :, shared]
        values = qkv[:, :, shared + shape.cached_heads]
        for t in range(T):
            scores = torch.einsum("bd,bsd->bs", queries[:, t], keys[:, : t + 1])
            weights = (scores / shape.head_width**0.5).softmax(dim=1)
            outputs[:, t, head] = torch.einsum("bs,bsd->bd", weights, values[:, : t + 1])
    return outputs.flatten(2) @ layer.out.T


@pytest.mark.parametrize("shape", [shrunk(OLMOE), shrunk(QWEN3)], ids=["own keys", "shared keys"])
def test_attention_is_causal_rotary_attention(shape):
    _, (layer, _) = built(shape)
    features = torch.randn(B, T, shape.width)
    torch.testing.assert_close(
        model.attention(features, layer, None, call(shape)),
        naive_attention(features, layer, shape),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("shape", [shrunk(OLMOE), shrunk(TINYLLAMA)], ids=["own", "shared"])
def test_the_last_token_over_a_cache_sees_what_it_sees_in_prefill(shape):
    _, (layer, _) = built(shape)
    features = torch.randn(B, T, shape.width)
    expected = model.attention(features, layer, None, call(shape))[:, -1:]
    qkv = (features @ layer.qkv.T).view(B, T, -1, shape.head_width)
    boundary = shape.heads + shape.cached_heads
    keys = model._rotated(qkv[:, :, shape.heads : boundary], call(shape).rotation)
    cache = (keys.transpose(1, 2).clone(), qkv[:, :, boundary:].transpose(1, 2).clone())
    for part in cache:
        part[:, :, -1] = 0  # the token writes its own
    output = model.attention(features[:, -1:], layer, cache, call(shape, start=T - 1))
    torch.testing.assert_close(output, expected)


def test_a_pass_is_its_blocks_and_the_logits_of_the_last_token():
    shape = shrunk(OLMOE)
    pool, layers = built(shape)
    generator = torch.Generator().manual_seed(0)
    draws = [
        model.draw(trace("uniform", torch.zeros(B * T).long(), 64, 8, generator), 8) for _ in layers
    ]
    features, context = torch.randn(B, T, shape.width), call(shape, draws=draws)
    unembedding = pool.take(shape.vocabulary, shape.width)
    expected = features
    for layer, draw in zip(layers, draws, strict=True):
        width = (shape.width,)
        expected = expected + model.attention(F.rms_norm(expected, width), layer, None, context)
        tokens = F.rms_norm(expected, width).view(-1, shape.width)
        expected = expected + model.mlp(tokens, layer, draw, context).view_as(expected)
    logits = model.forward(features, layers, None, unembedding, context)
    assert logits.shape == (B, shape.vocabulary)
    torch.testing.assert_close(logits, F.rms_norm(expected[:, -1], width) @ unembedding.T)


def test_the_routers_own_scores_do_not_change_the_plan():
    shape = shrunk(OLMOE)
    _, (layer, _) = built(shape)
    draw = model.draw(
        trace("uniform", torch.zeros(5).long(), 64, 8, torch.Generator().manual_seed(0)), 8
    )
    features = torch.randn(5, shape.width)
    before = model.mlp(features, layer, draw, call(shape))
    layer.router.mul_(1000)
    assert torch.equal(model.mlp(features, layer, draw, call(shape)), before)


def test_a_pool_gives_no_number_twice_and_no_more_than_it_has():
    pool = Pool(1000, "cpu")
    first, second = pool.take(3, 5), pool.take(100)
    assert second.data_ptr() >= first.data_ptr() + first.nbytes
    with refusal(ConfigError, "holds 1,000", "1,256"):
        pool.take(1000)
    pool.taken = 0
    assert pool.take(3, 5).data_ptr() == first.data_ptr()
    assert pool.numbers.isfinite().all()
