"""Filter-normalised directions: norms filter by filter, and what they do not depend on."""

import copy

import pytest
import torch
from tiny import tiny_run
from torch import nn

from moelib.curvature.directions import filter_normalised
from moelib.heads.experts import Experts
from moelib.heads.routing import soft_routing
from moelib.training.model import build_model

CLOSE = {"rel": 1e-12}  # float64: a norm of some hundred numbers, scaled once
HEADS = ("linear", "dense", "soft", "sparse", "switch", "uniform", "frozen")


def direction(model: nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    """The direction, cut into tensors of the parameters' shapes."""
    flat = filter_normalised(model, torch.Generator().manual_seed(seed))
    params = dict(model.named_parameters())
    parts = flat.split([p.numel() for p in params.values()])
    return {name: part.view(params[name].shape) for name, part in zip(params, parts, strict=True)}


def experts() -> Experts:
    torch.manual_seed(0)
    return Experts(experts=3, features=5, hidden=4, classes=2, dropout=0.0).double()


@pytest.mark.parametrize("head", HEADS)
def test_norms_of_all_filters_by_a_naive_loop(dataset, head):
    model = build_model(tiny_run(head), dataset).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))  # biases and norms too
    moved = direction(model)
    for name, weights in model.named_parameters():
        step = moved[name]
        if weights.ndim == 4:  # (out, in, height, width)
            pairs = [(step[o], weights[o]) for o in range(len(weights))]
        elif name.endswith("w_in"):  # (d, e, h)
            pairs = [
                (step[:, e, h], weights[:, e, h])
                for e in range(weights.shape[1])
                for h in range(weights.shape[2])
            ]
        elif name.endswith("w_out"):  # (e, h, c)
            pairs = [
                (step[e, :, c], weights[e, :, c])
                for e in range(weights.shape[0])
                for c in range(weights.shape[2])
            ]
        elif weights.ndim == 2 and name.split(".")[-1] == "weight":  # (out, in)
            pairs = [(step[o], weights[o]) for o in range(len(weights))]
        else:  # biases and normalisation, stacked or not
            assert weights.abs().min() > 0
            assert not step.any(), name
            continue
        for part, own in pairs:
            assert part.norm().item() == pytest.approx(own.norm().item(), **CLOSE), name


def test_an_expert_that_is_scaled_has_its_direction_scaled_and_no_other():
    model = experts()
    before = direction(model)
    with torch.no_grad():
        model.w_in[:, 1] *= 2
        model.w_out[1] *= 2
    after = direction(model)
    for name, axis in Experts.EXPERT_AXES.items():
        for e in range(3):
            old, new = (part[name].select(axis, e) for part in (before, after))
            assert torch.equal(new, 2 * old if e == 1 else old)  # a power of 2 is exact


def test_a_unit_that_is_scaled_has_its_own_filter_scaled_and_no_other():
    model = experts()
    before = direction(model)["w_in"]
    with torch.no_grad():
        model.w_in[:, 1, 2] *= 2
    after = direction(model)["w_in"]
    before[:, 1, 2] *= 2
    assert torch.equal(after, before)


def test_the_loss_along_a_direction_is_blind_to_the_scale_between_an_experts_layers():
    """W_in -> 4 W_in, b_in -> 4 b_in, W_out -> W_out / 4 is the same function (Dinh 2017)."""
    model = experts()
    scaled = copy.deepcopy(model)
    with torch.no_grad():
        scaled.w_in[:, 1] *= 4
        scaled.b_in[1] *= 4
        scaled.w_out[1] /= 4
    images, routing = torch.randn(6, 5).double(), soft_routing(torch.rand(6, 3).double())
    outputs = []
    for net in (model, scaled):
        for name, step in direction(net).items():
            net.get_parameter(name).data += 0.7 * step
        outputs.append(net(images, routing))
    assert torch.equal(*outputs)  # powers of 2 are exact


def test_filters_of_zeros_stay_where_they_are():
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(4, 3)).double()
    with torch.no_grad():
        model[0].weight[1] = 0
        model[1].weight.zero_()
    moved = direction(model)
    assert not moved["0.weight"][1].any() and not moved["1.weight"].any()
    assert moved["0.weight"][[0, 2]].all()
    assert all(part.isfinite().all() for part in moved.values())


def test_heads_of_a_seed_share_the_backbones_direction(dataset):
    parts = [direction(build_model(tiny_run(head), dataset)) for head in ("dense", "sparse")]
    shared = [name for name in parts[0] if name.startswith("backbone.")]
    assert shared and all(torch.equal(parts[0][name], parts[1][name]) for name in shared)
    assert any(parts[0][name].any() for name in shared)


def test_a_direction_is_of_its_generator_alone(dataset):
    model = build_model(tiny_run("sparse"), dataset)
    first, repeated, other = (
        filter_normalised(model, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, repeated) and not torch.equal(first, other)
    assert abs((first @ other) / (first.norm() * other.norm())) < 0.5
    assert not first.requires_grad


def test_memory_format_does_not_enter(dataset):
    model = build_model(tiny_run("sparse"), dataset)
    contiguous = filter_normalised(model, torch.Generator().manual_seed(0))
    model = model.to(memory_format=torch.channels_last)
    strided = filter_normalised(model, torch.Generator().manual_seed(0))
    # Sums over a filter run in another order: some roundings of float32.
    torch.testing.assert_close(contiguous, strided, rtol=1e-6, atol=0)
