"""Every executor against a double loop over images and choices: values, gradients, curvature."""

import math
from statistics import median

import pytest
import torch
from oracles import mixture_by_loops
from prose import refusal

import moelib.study.executors
from moelib.heads.executors import (
    EXECUTORS,
    SLICE,
    SLICED_ROWS,
    SLICED_SIZE,
    Weights,
    execute,
    fastest,
)
from moelib.heads.routing import soft_routing, switch_routing, top_k_routing
from moelib.records.benchmarks import ScaleNumbers
from moelib.records.record import read_record
from moelib.study.base import PROJECT, ConfigError
from moelib.study.executors import GATHERING, LARGE, READING, SHARE, SORTING, choose

CLASSES = 5  # 10 bytes or 20 bytes: no row is aligned as a grouped product wants it
# Rounding of one product or sum, relative to its size: the results here are sums of about a
# hundred products of order 1, by paths that differ in order alone. bfloat16 keeps 8 bits: 0.4 % at
# each of some ten operations in a row.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 0.04}

ROUTES = {  # name -> (experts, plan of logits)
    "top-2": (6, lambda z: top_k_routing(z, 2, 0.7)),
    "top-2 with ties kept": (6, lambda z: top_k_routing(z.round(), 2, keep_ties=True)),
    "k = E": (3, lambda z: top_k_routing(z, 3)),
    "soft": (4, lambda z: soft_routing(z)),
    "switch": (6, lambda z: switch_routing(z)),
    "E = 1": (1, lambda z: top_k_routing(z, 1)),
    "experts without images": (6, lambda z: top_k_routing(z - 50 * (torch.arange(6) % 2), 2)),
    "one expert for all": (4, lambda z: top_k_routing(z + 50 * (torch.arange(4) == 2), 1)),
}
routes = pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES.keys())
executors = pytest.mark.parametrize("executor", EXECUTORS)


def inputs(n, experts, d=7, h=3, dtype=torch.float64, seed=0):
    """Features, logits and weights, all leaves; sums in them are of order 1."""
    generator = torch.Generator().manual_seed(seed)

    def leaf(*shape, scale=1.0):
        values = torch.randn(*shape, dtype=torch.float64, generator=generator) * scale
        return values.to(dtype).requires_grad_()

    weights = Weights(
        leaf(d, experts, h, scale=d**-0.5),
        leaf(experts, h),
        leaf(experts, h, CLASSES, scale=h**-0.5),
        leaf(experts, CLASSES),
    )
    return leaf(n, d), leaf(n, experts), weights


def values_and_gradients(compute, features, make, logits, weights):
    """Logits, and the gradients of a fixed combination of them."""
    routing = make(logits)
    output = compute(features, routing, weights)
    direction = torch.arange(output.numel()).cos().view_as(output).to(output.dtype)
    leaves = [features, logits, *weights]
    return [
        output,
        *torch.autograd.grad(
            (output * direction).sum(), leaves, allow_unused=True, materialize_grads=True
        ),
    ]


def run(executor):
    return lambda *arguments: execute(*arguments, dropout=0.0, executor=executor)


def fits(executor, dtype):
    return executor != "grouped" or dtype != torch.float64


@executors
@routes
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("n", [1, 2, 13])
def test_values_and_all_gradients_equal_the_double_loop(executor, route, dtype, n):
    if not fits(executor, dtype):
        pytest.skip("torch has no grouped product in float64")
    experts, make = route
    features, logits, weights = inputs(n, experts, dtype=dtype)
    results = values_and_gradients(run(executor), features, make, logits, weights)
    # The same rounded numbers in float64: what remains is the executor's own rounding.
    exact = [t.detach().double().requires_grad_() for t in (features, logits, *weights)]

    def plan(z):  # choices as made in the narrow type, where logits may tie
        return make(z)._replace(indices=make(logits).indices)

    expected = values_and_gradients(mixture_by_loops, exact[0], plan, exact[1], Weights(*exact[2:]))
    for result, reference in zip(results, expected, strict=True):
        limit = TOLERANCE[dtype] * max(1.0, reference.abs().max().item())
        assert (result.double() - reference.double()).abs().max().item() <= limit
        assert result.dtype == dtype


@pytest.mark.parametrize("executor", ["batched", "loop"])
@pytest.mark.parametrize("k", [1, 2])
def test_second_derivatives_in_float64(executor, k):
    features, logits, weights = inputs(3, 3, d=3, h=2, seed=1)

    def compute(x, z, *stacked):
        return run(executor)(x, top_k_routing(z, k), Weights(*stacked))

    leaves = (features, logits, *weights)
    assert torch.autograd.gradcheck(compute, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(compute, leaves, fast_mode=True)


def test_second_derivatives_of_the_grouped_product():
    """In float32, which is all that it has: against those of `batched`."""

    def curvature(executor):
        features, logits, weights = inputs(13, 6, dtype=torch.float32)
        leaves = [features, logits, *weights]
        loss = run(executor)(features, top_k_routing(logits, 2), weights).square().mean()
        first = torch.autograd.grad(loss, leaves, create_graph=True)
        along = sum((g * torch.arange(g.numel()).cos().view_as(g)).sum() for g in first)
        return torch.autograd.grad(along, leaves)

    for result, expected in zip(curvature("grouped"), curvature("batched"), strict=True):
        # Some hundred float32 roundings of 6e-8 each, relative to the largest entry.
        assert (result - expected).abs().max() <= 2e-5 * expected.abs().max().clamp(min=1)


@executors
@pytest.mark.parametrize(("d", "h"), [(1, 1), (4, 4), (5, 8), (8, 5), (16, 12)])
def test_any_width(executor, d, h):
    features, logits, weights = inputs(9, 4, d=d, h=h, dtype=torch.float32)
    routing = top_k_routing(logits, 2)
    expected = mixture_by_loops(features, routing, weights)
    torch.testing.assert_close(run(executor)(features, routing, weights), expected)


@executors
def test_the_same_input_gives_the_same_bits(executor):
    features, logits, weights = inputs(50, 6, dtype=torch.float32)
    routing = top_k_routing(logits, 2)
    first, second = (run(executor)(features, routing, weights) for _ in range(2))
    assert torch.equal(first, second)


@executors
def test_the_first_half_of_a_batch_alone_is_the_first_half_of_the_whole(executor):
    features, logits, weights = inputs(50, 6, dtype=torch.float32)
    whole = run(executor)(features, top_k_routing(logits, 2), weights)[:25]
    half = run(executor)(features[:25], top_k_routing(logits[:25], 2), weights)
    # What a loss needs in order to be a fixed function of the weights (`objective`).
    assert (whole - half).abs().max() <= 1e4 * torch.finfo(torch.float32).eps * half.abs().max()


@executors
def test_no_images(executor):
    features, logits, weights = inputs(0, 4, dtype=torch.float32)
    assert run(executor)(features, top_k_routing(logits, 2), weights).shape == (0, CLASSES)


@executors
def test_dropout_zeroes_and_rescales_hidden_units(executor):
    experts, units = 2, 2000
    weights = Weights(
        torch.zeros(4, experts, units),
        torch.ones(experts, units),
        torch.full((experts, units, 1), 1 / units),
        torch.zeros(experts, 1),
    )
    routing = top_k_routing(torch.eye(2), 2)
    torch.manual_seed(0)
    output = execute(torch.zeros(2, 4), routing, weights, dropout=0.25, executor=executor)
    # Means of 2000 values or more that are 0 or 4/3: deviation sqrt(1/3 / 2000) = 0.013; 5 of them.
    assert ((output - 1).abs() < 0.065).all()
    assert ((output - 1).abs() > 1e-5).all()


def test_compiled_as_one_graph():
    """Without a break: compiled, the choice is the executor that needs no sorting."""
    features, logits, weights = inputs(4000, 8, d=64, h=128, dtype=torch.float32)
    assert fastest(features, top_k_routing(logits, 2), weights) == "grouped"

    def compute(x, z, *stacked):
        return run("auto")(x, top_k_routing(z, 2), Weights(*stacked))

    leaves = [t.detach() for t in (features, logits, *weights)]
    compiled = torch.compile(compute, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(*leaves), compute(*leaves))


# -- choice and bad input -------------------------------------------------------------------------


def plan(n, d, experts, k, h, dtype=torch.float32):
    features, logits, weights = inputs(n, experts, d=d, h=h, dtype=dtype)
    return features, top_k_routing(logits, k), weights


def test_the_choice_follows_the_work_that_is_spared():
    d, experts, k, h = 64, 8, 2, 64
    n = int(SORTING / (d * ((experts - k) * h - k * GATHERING)))  # just less than enough
    assert fastest(*plan(n, d, experts, k, h)) == "batched"
    assert fastest(*plan(n + 1, d, experts, k, h)) == "grouped"
    assert fastest(*plan(n + 1, d, experts, k, h, torch.float64)) == "loop"
    assert fastest(*plan(n + 1, d, experts, experts, h)) == "batched"  # nothing is spared


def test_the_choice_follows_the_weights_that_need_not_be_read():
    d, k, h = 512, 2, 64
    cost = SORTING + k * d * GATHERING
    experts = k + int(cost / (d * h * (READING + 1)))  # one image: just less than enough
    assert fastest(*plan(1, d, experts, k, h)) == "batched"
    assert fastest(*plan(1, d, experts + 1, k, h)) == "grouped"


def test_large_experts_get_a_product_each():
    experts, d = 3, 1024
    n, h = SHARE * experts, LARGE // d
    assert fastest(*plan(n, d, experts, 1, h)) == "loop"
    assert fastest(*plan(n - 1, d, experts, 1, h)) == "grouped"
    assert fastest(*plan(n, d, experts, 1, h - 1)) == "grouped"
    sizes = {"experts": experts, "features": d, "hidden": h}
    assert choose(n, 1, **sizes, on_cpu=False) == "grouped"
    assert choose(n - 1, 1, **sizes, has_grouped=False) == "loop"


@pytest.mark.parametrize("rows", [SLICED_ROWS[0] - 1, SLICED_ROWS[0], SLICED_ROWS[-1]])
def test_a_product_in_slices_is_the_product(rows):
    """Large experts, in inference; the last slice of the features is a smaller one."""
    d, h = 2 * SLICE + 5, SLICED_SIZE // (2 * SLICE) + 1
    features, routing, weights = plan(rows, d, 2, 1, h)
    routing = routing._replace(indices=torch.zeros_like(routing.indices))
    with torch.no_grad():
        sliced = run("loop")(features, routing, weights)
        expected = run("batched")(features, routing._replace(mixture=_all_on_first(rows)), weights)
    torch.testing.assert_close(sliced, expected, rtol=1e-4, atol=1e-4)  # sums of 5,000 products


def _all_on_first(rows):
    return torch.eye(2)[:1].expand(rows, 2)


def test_the_automatic_choice_is_what_runs():
    arguments = plan(4000, 64, 8, 2, 128)
    assert torch.equal(run("auto")(*arguments), run("grouped")(*arguments))


def regret(device):
    """Mean logarithm of the time of the executor that the rule chooses, by that of the best."""
    path = PROJECT / f"results/scale/scale.{device}.json"
    losses = []
    for point in read_record(path, ScaleNumbers).numbers.points:
        chosen = choose(
            point.batch,
            point.k,
            experts=point.experts,
            features=point.features,
            hidden=point.hidden,
        )
        times = {name: median(rounds) for name, rounds in point.sparse.items()}
        if chosen in times:  # a few of the slowest ways were not timed
            losses.append(math.log(times[chosen] / min(times.values())))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("constant", ["SORTING", "GATHERING", "READING", "LARGE", "SHARE"])
def test_no_constant_of_the_rule_would_do_better_halved_or_doubled(constant, monkeypatch):
    """On the record that the rule was fitted to."""
    device = "intel-r-xeon-r-processor-2.50ghz"
    fitted, value = regret(device), getattr(moelib.study.executors, constant)
    assert fitted < 0.02
    for factor in (0.5, 2):
        monkeypatch.setattr(moelib.study.executors, constant, factor * value)
        assert regret(device) >= fitted


def test_the_rule_loses_little_on_a_cpu_that_it_was_not_fitted_to():
    assert 0 < regret("amd-epyc") < 0.03


def test_an_unknown_executor_is_refused():
    with refusal(ConfigError, "'fast'", "auto, batched"):
        run("fast")(*plan(2, 3, 3, 1, 2))


def test_a_grouped_product_that_torch_lacks_is_refused():
    with refusal(ConfigError, "float32 or bfloat16", "not float64 on cpu"):
        run("grouped")(*plan(2, 3, 3, 1, 2, torch.float64))


@pytest.mark.parametrize("name", EXECUTORS)
def test_an_idle_expert_that_overflows_is_not_seen(name):
    """Expert 2 of 3 is never chosen, and its hidden units are infinite in float32."""
    features, logits, weights = inputs(5, 3, dtype=torch.float32)
    with torch.no_grad():
        logits[:, 2] = -50
        weights.w_in[:, 2] = 3e38
        features.abs_()
    routing = top_k_routing(logits, 2)
    outputs = execute(features, routing, weights, 0.0, name)
    expected = mixture_by_loops(features, routing, weights)
    assert torch.allclose(outputs, expected, atol=TOLERANCE[torch.float32])
    gradients = torch.autograd.grad(outputs.sum(), (features, logits, *weights))
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert all((gradient == 0).all() for gradient in (gradients[2][:, 2], gradients[4][2]))
