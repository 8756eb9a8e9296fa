"""Evaluation: metrics against closed forms, and no trace left in the model."""

import math

import pytest
import torch
from tiny import tiny_run

from moelib.heads.routing import top_k_routing, uniform_routing
from moelib.training import evaluate
from moelib.training.data import Split
from moelib.training.evaluate import (
    correct,
    evaluation_mode,
    join,
    metrics,
    network_input,
    predict,
)
from moelib.training.model import build_model


def test_cross_entropy_and_accuracy_of_known_logits():
    # Softmax of (ln 3, 0) is (3/4, 1/4).
    logits = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0], [0.0, 0.0], [0.0, math.log(3)]])
    labels = torch.tensor([0, 1, 0, 1])
    scores = metrics(logits, labels, None)
    expected = (2 * math.log(4 / 3) + math.log(4) + math.log(2)) / 4
    assert scores.loss == pytest.approx(expected, rel=1e-6)  # the logits are float32
    assert scores.accuracy == 0.75  # of two equal logits the first counts
    assert (scores.gate_mass, scores.load, scores.entropy) == (None, None, None)


def test_means_of_batches_weigh_a_last_small_batch_more():
    losses = torch.arange(1.0, 6)  # of five images, in batches of 2, 2 and 1
    logits = torch.stack([torch.zeros(5), torch.log(torch.expm1(losses.double())).float()], dim=1)
    labels = torch.zeros(5, dtype=torch.int64)  # -ln softmax = ln(1 + e^z) = the loss
    assert metrics(logits, labels, None).loss == pytest.approx(3.0, rel=1e-6)
    batches = metrics(logits, labels, None, batch=2)
    assert batches.loss == pytest.approx((1.5 + 3.5 + 5) / 3, rel=1e-6)
    assert batches.accuracy == metrics(logits, labels, None).accuracy
    assert metrics(logits, labels, None, batch=5).loss == pytest.approx(3.0, rel=1e-6)


def test_loss_is_summed_in_double():
    logits = torch.zeros(100_000, 2)
    logits[0, 1] = 1e4  # one image of loss 1e4 among many of ln 2
    loss = metrics(logits, torch.zeros(100_000, dtype=torch.int64), None).loss
    assert loss == pytest.approx((99_999 * math.log(2) + 1e4) / 1e5, rel=1e-12)


def test_usage_of_known_routing():
    logits = torch.tensor([[3.0, 3.0, 0.0], [0.0, 5.0, 5.0]])
    routing = top_k_routing(logits, k=2)
    usage = metrics(torch.zeros(2, 2), torch.tensor([0, 1]), routing)
    assert usage.gate_mass == pytest.approx((0.25, 0.5, 0.25))
    assert usage.load == pytest.approx((0.5, 1.0, 0.5))
    assert usage.entropy == pytest.approx(math.log(2))


def test_joined_routings_are_one():
    routings = tuple(uniform_routing(torch.zeros(n, 5), experts=3) for n in (2, 1))
    joined = join(routings)
    assert joined.gates.shape == (3, 3) and joined.noise_std is None
    assert join((None, None)) is None


def test_correct():
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert correct(logits, torch.tensor([0, 0, 1])).tolist() == [True, False, True]


# -- predictions --------------------------------------------------------------------------------


def test_predictions_do_not_depend_on_the_batches_they_are_made_in(dataset, monkeypatch):
    model = build_model(tiny_run("sparse"), dataset)
    whole, routing = predict(model, dataset.test, dataset)
    monkeypatch.setattr(evaluate, "EVALUATION_BATCH", 7)
    parts, routing_of_parts = predict(model, dataset.test, dataset)
    # Convolutions may sum in another order for another batch.
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)
    assert torch.equal(routing_of_parts.indices, routing.indices)
    assert len(whole) == len(dataset.test) == 40


def test_predictions_are_deterministic_and_in_evaluation_mode(dataset):
    model = build_model(tiny_run("sparse"), dataset).train()
    buffers = {name: tensor.clone() for name, tensor in model.named_buffers()}
    first, _ = predict(model, dataset.test, dataset)
    second, _ = predict(model, dataset.test, dataset)
    assert torch.equal(first, second)  # no dropout, no gate noise
    assert not first.requires_grad
    assert all(torch.equal(tensor, buffers[name]) for name, tensor in model.named_buffers())


def test_gate_noise_at_evaluation_is_the_protocols(dataset):
    run = tiny_run("sparse", protocol={"noise_at_evaluation": True})
    model = build_model(run, dataset)
    first, second = (predict(model, dataset.test, dataset)[0] for _ in range(2))
    assert not torch.equal(first, second)


def test_predictions_are_in_the_order_of_the_split(dataset):
    model = build_model(tiny_run("dense"), dataset)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    shuffled = Split(dataset.test.images[order], dataset.test.labels[order])
    expected = predict(model, dataset.test, dataset)[0][order]
    torch.testing.assert_close(predict(model, shuffled, dataset)[0], expected)


def test_every_module_gets_its_mode_back(dataset):
    model = build_model(tiny_run("soft"), dataset).train()
    model.backbone.eval()
    modes = [module.training for module in model.modules()]
    with evaluation_mode(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(KeyError), evaluation_mode(model):
        raise KeyError
    assert [module.training for module in model.modules()] == modes


@pytest.mark.parametrize("channels_last", [True, False])
def test_network_input_has_the_memory_format_asked_for(dataset, channels_last):
    images = network_input(dataset.test.images, dataset, channels_last)
    assert images.shape == (40, 3, 8, 8)
    memory = torch.channels_last if channels_last else torch.contiguous_format
    assert images.is_contiguous(memory_format=memory)
    expected = (dataset.test.images[3, 2, 1, 0].item() - 128) / 64
    assert images[3, 0, 2, 1].item() == expected
