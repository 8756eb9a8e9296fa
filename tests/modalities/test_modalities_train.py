"""Arms train, resume to the same bits, and compute what they say."""

import sys

import pytest
import torch
from prose import refusal
from small import ARMS, small_run, small_study

from moelib.heads.executors import Weights, loop
from moelib.modalities import __main__ as command
from moelib.modalities import batches, blocks, model, routing, splits
from moelib.modalities.experts import execute
from moelib.modalities.train import Loop, load_model, train
from moelib.records.modalities import ModalityTrainNumbers
from moelib.records.record import read_record
from moelib.study.base import ConfigError
from moelib.study.modalities import load_modality_study, parse_modality_study
from moelib.training.errors import TrainingError

CPU = torch.device("cpu")


def some_weights(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = ((5, 4, 7), (4, 7), (4, 7, 5), (4, 5))
    return Weights(*(torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes))


def test_the_executor_agrees_with_that_of_the_heads():
    features = torch.randn(30, 5, dtype=torch.float64)
    plan = routing.top_k(torch.randn(30, 4, dtype=torch.float64), 2)
    expected = loop(features, plan.routing, some_weights(), 0.0)
    torch.testing.assert_close(execute(features, plan, some_weights()), expected)


def test_slots_that_are_not_used_are_not_computed():
    features = torch.randn(30, 5, dtype=torch.float64)
    slots = torch.linspace(1, 3, 30, dtype=torch.float64)
    logits = torch.randn(30, 6, dtype=torch.float64)
    plan = routing.slot_routing(logits, slots, most=3, experts=4, share=0.5)
    weights = some_weights()
    expected = torch.zeros(30, 5, dtype=torch.float64)
    for t in range(30):
        for e, weight, used in zip(
            plan.routing.indices[t], plan.routing.weights[t], plan.used[t], strict=True
        ):
            if used:
                hidden = (features[t] @ weights.w_in[:, e] + weights.b_in[e]).relu()
                expected[t] += weight * (hidden @ weights.w_out[e] + weights.b_out[e])
    torch.testing.assert_close(execute(features, plan, weights), expected)


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_trains(results, arm):
    run = small_run(arm)
    record = train(run)
    numbers = record.numbers
    assert [epoch.epoch for epoch in numbers.epochs] == [1, 2]
    assert set(numbers.tests) == set(splits.TESTS)
    for answers in numbers.tests.values():
        assert 0 <= answers.consistency <= answers.accuracy <= answers.validity <= 1
        assert len(answers.correct) == answers.items // 4
    real = numbers.epochs[-1].real
    assert (real is None) == (run.arm.kind == "dense")
    stored = read_record(run.record_path("vlm-train"), ModalityTrainNumbers)
    assert train(run).digest == stored.digest == record.digest  # not trained again
    assert load_model(run, record)


@pytest.mark.parametrize("arm", ["top-2", "guided-gaussian", "slots-entropy", "slots-shuffled"])
def test_a_killed_run_ends_with_the_same_numbers(results, monkeypatch, arm):
    run = small_run(arm)
    whole = train(run)
    run.record_path("vlm-train").unlink()
    epoch = Loop._epoch

    def dying(loop, number):
        if number == 2:
            raise KeyboardInterrupt
        return epoch(loop, number)

    monkeypatch.setattr(Loop, "_epoch", dying)
    with pytest.raises(KeyboardInterrupt):
        train(run)
    monkeypatch.setattr(Loop, "_epoch", epoch)
    resumed = train(run)
    assert resumed.numbers == whole.numbers and resumed.digest == whole.digest


def test_a_record_of_another_torch_is_shown_and_never_replaced(results, monkeypatch, capsys):
    run = small_run("top-2")
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "99.0")
        record = train(run)
    monkeypatch.setattr(Loop, "train", None)
    (run.folder / "last.safetensors").unlink()
    assert train(run) == record and "with torch 99.0" in capsys.readouterr().out
    with refusal(ConfigError, "99.0", str(run.folder), "MOELIB_RESULTS"):
        train(run, weights=True)


def test_arms_of_a_seed_share_what_they_can():
    first, second = (Loop(small_run(arm), CPU, {}).model for arm in ("top-2", "hard"))
    for name, tensor in first.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], tensor, rtol=0, atol=0)


def test_padding_changes_no_answer():
    study = small_study()
    net = model.build(study, study.arms["top-2"]).eval()
    items = splits.held_out(study, "validation")
    inputs, _ = batches.batch(items, CPU)
    longer = inputs._replace(words=torch.nn.functional.pad(inputs.words, (0, 5)))
    torch.testing.assert_close(net(inputs), net(longer), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sees", ["words", "images"])
def test_baselines_see_one_modality_alone(sees):
    study = small_study()
    net = model.build(study, study.arms[sees]).eval()
    inputs, _ = batches.batch(splits.held_out(study, "validation"), CPU)
    noise = torch.randint_like(inputs.pictures, 255)
    words = inputs.words.clone()
    words[:, 1:] = words[:, 1:].flip(0)
    same_pictures = torch.equal(net(inputs), net(inputs._replace(pictures=noise)))
    same_words = torch.equal(net(inputs), net(inputs._replace(words=words)))
    assert (same_pictures, same_words) == ((True, False) if sees == "words" else (False, True))


def test_attention_mixes_scores_as_its_matrix_does():
    torch.manual_seed(0)
    attention = model.Attention(8, 2).double()
    features = torch.randn(6, 8, dtype=torch.float64)
    mask = torch.ones(2, 1, 1, 3, dtype=torch.bool)
    layout = model._Layout(torch.arange(6), mask, (2, 3))
    scores = torch.rand(6, 2, dtype=torch.float32)
    outputs, mixed = attention(features, layout, scores)
    q, k, v = attention.qkv(features).view(2, 3, 3, 2, 4).permute(2, 0, 3, 1, 4)
    fused = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    expected = attention.out(fused.transpose(1, 2).reshape(6, 8))
    torch.testing.assert_close(outputs, expected)
    # Scores as the values of both heads, averaged.
    carried = scores.view(2, 1, 3, 2).expand(2, 2, 3, 2).double()
    by_fused = torch.nn.functional.scaled_dot_product_attention(q, k, carried).mean(dim=1)
    torch.testing.assert_close(mixed, by_fused.reshape(6, 2).float())


def test_grounding_counts_the_descriptions_there_are_alone():
    study = small_study()
    net = model.build(study, study.arms["dense"]).train()
    inputs, _ = batches.batch(splits.held_out(study, "validation"), CPU)
    loss = net.routed(inputs).losses["grounding"]
    logits = []
    net.fit.register_forward_hook(lambda module, arguments, output: logits.append(output))
    net.routed(inputs)
    each = torch.nn.functional.binary_cross_entropy_with_logits
    fits = inputs.fits.flatten(0, 1)
    terms = [
        each(logits[0][patch, part], fits[patch, part].float())
        for patch, part in (fits >= 0).nonzero().tolist()
    ]
    torch.testing.assert_close(loss, torch.stack(terms).mean())
    assert "grounding" not in net.eval().routed(inputs).losses


def test_guidance_acts_in_training_alone():
    study = small_study()
    net = model.build(study, study.arms["guided-gaussian"]).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    inputs, _ = batches.batch(splits.held_out(study, "validation"), CPU)
    assert net.routed(inputs).losses == {}
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert isinstance(net.blocks[0].perceptron, blocks.Guided)


def test_a_loss_that_is_not_finite_stops_the_training(results, monkeypatch):
    monkeypatch.setattr("moelib.modalities.train.learning_rate", lambda *_: 1e30)
    with pytest.raises(TrainingError, match="not finite"):
        train(small_run("dense"))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"arm": {}}, ["'arm'"]),
        ({"seeds": [0, 0]}, ["seeds", "twice"]),
        ({"sizes": {"train": 30}}, ["sizes", "multiple of 4"]),
        ({"arms": {"a": {"kind": "top_k", "k": 9}}}, ["k = 9", "8 experts"]),
        ({"arms": {"a": {"kind": "slots", "most": 9}}}, ["least <= k <= most <= experts"]),
        ({"arms": {"a": {"kind": "guided", "bins": 3}}}, ["arms.a", "3 equal bins"]),
        ({"arms": {"a": {"kind": "hard", "vision_experts": 7}}}, ["arms.a", "modality"]),
        ({"scenes": {"objects": [2, 9]}}, ["objects", "2 to 8"]),
        ({"held_out": {"compositions": [["one", "one"]]}}, ["compositions", "left"]),
        ({"questions": {"count": 0.5}}, ["questions", "sum to 1"]),
        ({"transformer": {"width": 10, "heads": 4}}, ["transformer", "divisible"]),
    ],
)
def test_an_impossible_study_is_refused(change, names):
    raw = small_study().model_dump(mode="json") | change
    with refusal(ConfigError, *names):
        parse_modality_study(raw)


def test_there_is_no_such_study():
    with refusal(ConfigError, "'nothing'"):
        load_modality_study("nothing")


@pytest.mark.parametrize(
    ("options", "wrong"), [(["--arms", "dense", "gided"], "gided"), (["--seeds", "0", "77"], "77")]
)
def test_what_the_study_lacks_is_refused_before_anything_is_trained(
    results, monkeypatch, options, wrong
):
    monkeypatch.setattr(command, "make", lambda run, tasks: pytest.fail(f"{run.head} was begun"))
    monkeypatch.setattr(sys, "argv", ["modalities", "quick", *options])
    with refusal(SystemExit, wrong):
        command.main()
