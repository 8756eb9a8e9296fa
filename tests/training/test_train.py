"""Training: resumable to the last bit, paired where it says so, and never half a result."""

import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from prose import refusal
from synthetic import recorded
from tiny import tiny_dataset, tiny_run

from moelib.records import atomic, freshness
from moelib.records.kinds import TrainNumbers
from moelib.records.record import read_record, write_record
from moelib.study import backbones as config
from moelib.study.analyses import Surface
from moelib.study.base import PROJECT, ConfigError
from moelib.study.heads import Balance
from moelib.study.run import Run, open_run
from moelib.training import compiled, loop
from moelib.training import train as training_module
from moelib.training.checkpoint import CheckpointError, load_tensors
from moelib.training.data import Dataset
from moelib.training.errors import TrainingError
from moelib.training.evaluate import predict
from moelib.training.model import build_model
from moelib.training.state import State
from moelib.training.train import ensure_trained, load_weights, train

pytestmark = pytest.mark.slow

HEADS = ("linear", "dense", "soft", "sparse", "switch", "uniform", "frozen")
STEPS = 4  # of an epoch


class Killed(BaseException):
    """Ends a training like a signal: no code handles it."""


@pytest.fixture(autouse=True)
def fresh(results):
    return results


@pytest.fixture
def interrupt(monkeypatch):
    """A function that makes a training die at a step, counted from 0 over all epochs."""
    rate = loop.learning_rate

    def at(step: int | None) -> None:
        def dying(training, position, steps_per_epoch):
            if position == step:
                raise Killed
            return rate(training, position, steps_per_epoch)

        monkeypatch.setattr(loop, "learning_rate", dying)

    return at


def weights(run: Run, name: str = "last") -> dict[str, torch.Tensor]:
    return load_tensors(run.folder / f"{name}.safetensors")[0]


def same_weights(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def files(run: Run) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.folder.iterdir()}


def elsewhere(monkeypatch, tmp_path, name: str) -> None:
    """From now on results lie in another folder."""
    monkeypatch.setenv("MOELIB_RESULTS", str(tmp_path / name))


# -- watching -----------------------------------------------------------------------------------
def test_who_watches_sees_every_epoch_and_changes_no_number(monkeypatch, tmp_path):
    dataset, calls = tiny_dataset(), []
    watched = train(tiny_run("sparse"), dataset, watch=lambda epochs: calls.append([*epochs]))
    assert [len(epochs) for epochs in calls] == [*range(1, len(watched.numbers.epochs) + 1)]
    assert [*map(recorded, calls[-1])] == [*watched.numbers.epochs]
    elsewhere(monkeypatch, tmp_path, "unwatched")
    assert train(tiny_run("sparse"), dataset).numbers == watched.numbers


# -- the record ---------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["corrected", "as-run"])
@pytest.mark.parametrize("head", HEADS)
def test_a_record_is_complete_and_true(dataset, head, protocol):
    run = tiny_run(head, protocol=protocol, epochs=2)
    record = train(run, dataset)
    assert read_record(run.record_path("train"), TrainNumbers) == record
    assert (record.study, record.head, record.seed) == (run.study, head, 0)
    assert set(record.inputs) == {"config", "data", "code", "torch"}
    assert record.inputs["data"] == dataset.digest
    assert record.inputs["torch"] == torch.__version__

    numbers = record.numbers
    assert numbers.images == {"train": 112, "validation": 40, "test": 40}
    assert numbers.classes == dataset.classes
    assert [epoch.epoch for epoch in numbers.epochs] == [1, 2]
    assert [epoch.learning_rate for epoch in numbers.epochs] == [0.1, 0.1]
    balanced = {"soft": {"kl"}, "sparse": {"importance", "load", "z"}, "switch": {"switch"}}
    assert all(epoch.balance.keys() == balanced.get(head, set()) for epoch in numbers.epochs)
    routed = head not in ("linear", "dense")
    assert (numbers.test.gate_mass is not None) == routed
    best = [epoch.validation.accuracy for epoch in numbers.epochs]
    assert numbers.best_validation_epoch == best.index(max(best)) + 1
    tested = {"corrected": "last", "as-run": "best_validation"}[protocol]
    assert numbers.tested_epoch == {"last": 2, "best_validation": 1 + best.index(max(best))}[tested]

    # The bits say which test images are right, and the weights on disk are those that were tested.
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(numbers.test_correct), np.uint8))[:40]
    assert bits.mean() == numbers.test.accuracy
    model = build_model(run, dataset)
    load_weights(run, model, record, tested)
    if not (protocol == "as-run" and head == "sparse"):  # whose evaluation is noisy
        right = predict(model, dataset.test, dataset)[0].argmax(dim=1) == dataset.test.labels
        assert right.tolist() == bits.astype(bool).tolist()
    total = sum(p.numel() for p in model.parameters())
    assert numbers.total_parameters == total
    assert numbers.head_parameters == sum(p.numel() for p in model.head.parameters())

    provenance = record.provenance
    assert len(provenance.epoch_seconds) == 2 and min(provenance.epoch_seconds) > 0
    assert provenance.wall_time_s == pytest.approx(sum(provenance.epoch_seconds), abs=0.002)


def test_training_learns(dataset):
    recipe = {"epochs": 8, "batch_size": 16, "schedule": {"kind": "onecycle"}}
    record = train(tiny_run("dense", seed=1, **recipe), dataset)
    assert record.numbers.epochs[-1].train.loss < 0.5 * record.numbers.epochs[0].train.loss
    assert record.numbers.test.accuracy > 0.7  # chance is 0.25


def test_a_training_repeats_bit_by_bit_whatever_the_default_generator(
    dataset, tmp_path, monkeypatch
):
    records, states = [], []
    for seed in (1, 2):
        elsewhere(monkeypatch, tmp_path, str(seed))
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        records.append(train(tiny_run("sparse", epochs=2), dataset))
        states.append(weights(tiny_run("sparse")))
        assert torch.equal(torch.get_rng_state(), before)  # left as it was
    assert records[0].digest == records[1].digest
    assert same_weights(*states)


def test_seeds_give_other_trainings(dataset):
    first, second = (train(tiny_run("dense", seed, epochs=1), dataset) for seed in (0, 1))
    assert first.numbers.weights != second.numbers.weights


def test_learning_rates_are_the_schedules(dataset):
    record = train(tiny_run("linear", epochs=3), dataset)
    trained_rates = [epoch.learning_rate for epoch in record.numbers.epochs]
    assert trained_rates == pytest.approx([0.1, 0.1, 0.01])


def test_numerics_of_the_process_are_put_back(dataset):
    before = torch.get_num_threads(), torch.backends.cudnn.deterministic
    train(tiny_run("linear", epochs=1, threads=2), dataset)
    assert (torch.get_num_threads(), torch.backends.cudnn.deterministic) == before


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"momentum": 0.5, "nesterov": True, "weight_decay": 0.05, "label_smoothing": 0.3},
        {"momentum": 0.0, "weight_decay": 0.0},
    ],
    ids=["paper", "nesterov", "plain"],
)
def test_every_training_step_is_sgd_as_written(dataset, recipe, channels_last):
    """v = mu v + g + wd w, w = w - lr v (or lr (g + wd w + mu v)): two steps by hand."""
    keys = {"epochs": 1, "batch_size": 56, "channels_last": channels_last, **recipe}
    run = tiny_run("linear", protocol={"augment": False}, **keys)
    training = run.study.training
    train(run, dataset)
    model = build_model(run, dataset).train()
    generator = torch.Generator().manual_seed(run.stream("order", 1))
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    for indices in torch.randperm(112, generator=generator).split(56):
        images = (dataset.train.images[indices].permute(0, 3, 1, 2).float() - 128) / 64
        target = torch.nn.functional.one_hot(dataset.train.labels[indices], 4).float()
        target = (1 - training.label_smoothing) * target + training.label_smoothing / 4
        loss = -(target * model(images).log_softmax(dim=1)).sum(dim=1).mean()
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for p, v, g in zip(model.parameters(), velocity, gradients, strict=True):
                g += training.weight_decay * p
                v.mul_(training.momentum).add_(g)
                p -= 0.1 * (g + training.momentum * v if training.nesterov else v)
    for name, tensor in weights(run).items():
        # Convolutions of another memory format sum in another order.
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_balance_losses_are_part_of_what_is_minimised(dataset):
    run = tiny_run("soft", epochs=1)
    unbalanced = run.study.heads["soft"].model_copy(update={"balance": Balance()})
    heads = run.study.heads | {"soft": unbalanced}
    other = Run(run.study.model_copy(update={"heads": heads}), "soft", 0)
    balanced, plain = (train(r, dataset).numbers.weights["last"] for r in (run, other))
    assert balanced != plain


def test_the_selection_bias_moves_with_each_step(dataset):
    run = tiny_run("switch", epochs=2)
    train(run, dataset)
    bias = weights(run)["head.gate.selection_bias"]
    steps = bias / 0.01  # the rate: each step adds -1, 0 or 1 of it
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)
    assert bias.any() and steps.abs().max() <= 2 * STEPS


# -- compiled -----------------------------------------------------------------------------------


def test_a_compiled_training_is_the_same_training(dataset, monkeypatch):
    """A stand-in compiles nothing: what is tested is that the comparison leaves no trace."""
    eager = train(tiny_run("sparse", epochs=2), dataset).numbers
    monkeypatch.setattr(torch, "compile", lambda function: lambda images: function(images))
    compiled = train(tiny_run("sparse", epochs=2, compile=True), dataset).numbers
    assert compiled == eager


@pytest.mark.parametrize("fault", [1.1, float("nan")])
def test_a_compiled_model_that_computes_something_else_is_refused(dataset, monkeypatch, fault):
    def miscompile(function):
        def routed(images):
            logits, routing = function(images)
            return logits + torch.arange(4) * fault, routing

        return routed

    monkeypatch.setattr(torch, "compile", miscompile)
    run = tiny_run("dense", epochs=1, compile=True)
    with refusal(TrainingError, "compiled", "first batch", "training.compile", "false"):
        train(run, dataset)
    assert not (run.folder / "state.safetensors").exists()


@pytest.mark.parametrize("head", ["dense", "sparse"])
def test_a_compiled_run_that_is_resumed_is_the_same_training(
    dataset, monkeypatch, interrupt, tmp_path, head
):
    """With gate noise in evaluation, too: the comparison allows no difference, and leaves none."""
    monkeypatch.setattr(compiled, "LOSS_TOLERANCE", 0.0)
    monkeypatch.setattr(torch, "compile", lambda function: lambda images: function(images))
    run = tiny_run(head, protocol="as-run", compile=True)
    whole = train(run, dataset)
    expected = weights(run)
    elsewhere(monkeypatch, tmp_path, "resumed")
    interrupt(2 * STEPS)
    with pytest.raises(Killed):
        train(run, dataset)
    interrupt(None)
    assert train(run, dataset).digest == whole.digest
    assert same_weights(weights(run), expected)


def test_rounding_of_a_tiny_loss_is_no_reason_to_refuse(dataset, monkeypatch):
    cross_entropy = torch.nn.functional.cross_entropy
    monkeypatch.setattr(
        torch.nn.functional,
        "cross_entropy",
        lambda *args, **keys: cross_entropy(*args, **keys) / 1e3,
    )

    def rounded(function):
        def routed(images):
            logits, routing = function(images)
            return logits + torch.arange(4) * 1.1, routing

        return routed

    monkeypatch.setattr(torch, "compile", rounded)
    train(tiny_run("dense", epochs=1, compile=True), dataset)


# -- interrupted and resumed --------------------------------------------------------------------


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, dataset):
    """Record and weights of the tiny run of three epochs, for each protocol."""
    trainings = {}
    with pytest.MonkeyPatch.context() as patch:
        for protocol in ("corrected", "as-run"):
            elsewhere(patch, tmp_path_factory.mktemp("whole"), protocol)
            run = tiny_run(protocol=protocol)
            record = train(run, dataset)
            parts = [weights(run, name) for name in ("last", "best_validation")]
            trainings[protocol] = record, *parts
    return trainings


def assert_equal_run(run: Run, record, whole) -> None:
    expected, last, best = whole
    assert record.digest == expected.digest
    assert same_weights(weights(run), last)
    assert same_weights(weights(run, "best_validation"), best)


@pytest.mark.parametrize("protocol", ["corrected", "as-run"])
@pytest.mark.parametrize("step", [0, 1, 4, 6, 8, 11])
def test_a_run_that_dies_at_any_step_ends_like_one_that_does_not(
    dataset, uninterrupted, interrupt, protocol, step
):
    run = tiny_run(protocol=protocol)
    interrupt(step)
    with pytest.raises(Killed):
        train(run, dataset)
    assert not run.record_path("train").exists()
    assert run.folder.joinpath("state.safetensors").exists() == (step >= STEPS)
    interrupt(None)
    assert_equal_run(run, train(run, dataset), uninterrupted[protocol])


def test_a_run_may_die_again_and_again(dataset, uninterrupted, interrupt, capsys):
    run = tiny_run()
    for step in (5, 6, 9):
        interrupt(step)
        with pytest.raises(Killed):
            train(run, dataset)
    interrupt(None)
    record = train(run, dataset)
    assert "Resumed after epoch 2 of 3." in capsys.readouterr().out
    assert_equal_run(run, record, uninterrupted["corrected"])
    assert len(record.provenance.epoch_seconds) == 3


def test_a_run_that_dies_in_its_end_is_only_ended(dataset, uninterrupted, monkeypatch):
    run = tiny_run()
    with monkeypatch.context() as patch:
        patch.setattr(training_module, "write_record", dying)
        with pytest.raises(Killed):
            train(run, dataset)
    monkeypatch.setattr(loop.Loop, "_train_epoch", dying)
    assert_equal_run(run, train(run, dataset), uninterrupted["corrected"])


def dying(*args, **kwargs):
    raise Killed


def test_state_is_kept_as_often_as_the_study_says(dataset, interrupt):
    run = tiny_run("dense", epochs=5, checkpoint_every=2)
    interrupt(3 * STEPS + 1)  # in the fourth epoch
    with pytest.raises(Killed):
        train(run, dataset)
    assert len(load_tensors(run.folder / "state.safetensors")[1]["epochs"]) == 2
    interrupt(None)
    record = train(run, dataset)
    assert len(record.numbers.epochs) == 5


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_state_holds_weights_momentum_and_the_best_so_far(dataset, channels_last, interrupt):
    run = tiny_run("sparse", channels_last=channels_last)
    interrupt(2 * STEPS)
    with pytest.raises(Killed):
        train(run, dataset)
    tensors, metadata, _ = load_tensors(run.folder / "state.safetensors")
    model = build_model(run, dataset)
    names = {part: set() for part in ("model", "best", "momentum")}
    for name in tensors:
        part, _, key = name.partition(".")
        names[part].add(key)
    assert names["model"] == names["best"] == model.state_dict().keys()
    assert names["momentum"] == {name for name, _ in model.named_parameters()}
    assert metadata["epochs"][1]["epoch"] == 2


KILLED_CHILD = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from moelib.training import loop
from moelib.training import train as training_module
from tiny import tiny_dataset, tiny_run

# Its own death, so that it comes in just this step whatever the machine's load is.
rate = loop.learning_rate
def killed(training, step, steps_per_epoch):
    if step == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return rate(training, step, steps_per_epoch)
loop.learning_rate = killed
training_module.train(tiny_run(), tiny_dataset())
"""


def test_a_killed_process_leaves_what_the_next_one_ends(dataset, uninterrupted, capsys):
    run = tiny_run()
    child = [sys.executable, "-c", KILLED_CHILD, Path(__file__).parents[1]]
    process = subprocess.run(child, cwd=PROJECT, capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert (run.folder / "state.safetensors").exists()
    assert not run.record_path("train").exists()
    record = train(run, dataset)
    assert "Resumed after epoch 1 of 3." in capsys.readouterr().out
    assert_equal_run(run, record, uninterrupted["corrected"])


def test_files_that_a_process_killed_in_their_writing_left_are_removed(dataset, tmp_path):
    run = tiny_run("dense", epochs=1)
    run.folder.mkdir(parents=True)
    outputs = ("state.safetensors", "last.safetensors", "best_validation.safetensors", "train.json")
    leftovers = [f".{name}.abcd_123" for name in outputs]
    others = [".sharpness.json.abcd_123", "train.ipynb"]  # an analysis may be writing just now
    for name in leftovers + others:
        (run.folder / name).write_text("a part")
    train(run, dataset)
    names = files(run).keys()
    assert not names & set(leftovers) and names > set(others)


# -- what is used again, and what is not --------------------------------------------------------


def test_a_finished_run_is_not_trained_again(dataset, monkeypatch, capsys):
    run = tiny_run("dense", epochs=1)
    first = train(run, dataset)
    before = files(run)
    monkeypatch.setattr(training_module, "WatchedLoop", dying)
    assert train(run, dataset) == first
    assert "not trained again" in capsys.readouterr().out
    assert files(run) == before


def test_words_analyses_and_further_seeds_train_nothing_again(dataset, monkeypatch):
    run = tiny_run("dense", epochs=1)
    train(run, dataset)
    monkeypatch.setattr(training_module, "WatchedLoop", dying)
    update = {"description": "Other words.", "seeds": (0, 1, 2)}
    train(Run(run.study.model_copy(update=update), "dense", 0), dataset)


CHANGES = {
    "training": {"learning_rate": 0.05},
    "protocol": {"protocol": {"augment": False}},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_another_configuration_is_trained_anew(dataset, interrupt, capsys, changes):
    old, new = tiny_run("dense", epochs=2), tiny_run("dense", epochs=2, **changes)
    before = train(old, dataset)
    interrupt(0)
    with pytest.raises(Killed):  # it does train, from the first step
        train(new, dataset)
    assert "starting anew" in capsys.readouterr().out
    interrupt(None)
    after = train(new, dataset)
    assert after.inputs["config"] != before.inputs["config"]
    assert after.numbers.weights != before.numbers.weights


def test_another_head_of_the_same_name_is_trained_anew(dataset):
    run = tiny_run("dense", epochs=1)
    before = train(run, dataset)
    wider = run.study.heads["dense"].model_copy(update={"hidden": 9})
    heads = run.study.heads | {"dense": wider}
    after = train(Run(run.study.model_copy(update={"heads": heads}), "dense", 0), dataset)
    assert after.numbers.head_parameters > before.numbers.head_parameters


@pytest.mark.parametrize(
    "change",
    [
        {"training_code": lambda *_: "other"},
        {"training_values": lambda *_: {}},
    ],
    ids=["code", "configuration"],
)
def test_other_code_is_trained_anew(dataset, monkeypatch, change):
    run = tiny_run("dense", epochs=1)
    train(run, dataset)
    monkeypatch.setattr(training_module, "WatchedLoop", dying)
    train(run, dataset)
    for name, value in change.items():
        monkeypatch.setattr(freshness, name, value)
    with pytest.raises(Killed):
        train(run, dataset)


def test_other_data_or_torch_are_trained_with_anew(dataset, monkeypatch):
    run = tiny_run("dense", epochs=1)
    record = train(run, dataset)
    monkeypatch.setattr(training_module, "WatchedLoop", dying)
    with pytest.raises(Killed):
        train(run, replace(dataset, digest="other"))
    older = record.model_copy(update={"inputs": record.inputs | {"torch": "1.0"}})
    write_record(run.record_path("train"), older)
    with pytest.raises(Killed):  # its weights are here: it is no record of another machine
        train(run, dataset)


def test_a_record_without_its_weights_stands_until_they_are_needed(dataset, monkeypatch):
    run = tiny_run("dense", epochs=1)
    record = train(run, dataset)
    for name in record.numbers.weights:
        (run.folder / f"{name}.safetensors").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(training_module, "WatchedLoop", dying)
        assert train(run, dataset) == record
        with pytest.raises(Killed):
            ensure_trained(run, dataset, weights=True)
    repeated = ensure_trained(run, dataset, weights=True)
    assert repeated.digest == record.digest


def published(run: Run, dataset: Dataset, version: str, **training) -> bytes:
    """Train a run, and leave its record alone, as if another machine had made it."""
    record = train(run, dataset)
    for name in record.numbers.weights:
        (run.folder / f"{name}.safetensors").unlink()
    training = record.study.training.model_copy(update=training)
    study = record.study.model_copy(update={"training": training})
    inputs = freshness.training_inputs(study, run.head, run.seed, dataset.digest, version)
    there = record.provenance.model_copy(update={"device": "Another Machine"})
    made = record.model_copy(update={"study": study, "inputs": inputs, "provenance": there})
    write_record(run.record_path("train"), made)
    return run.record_path("train").read_bytes()


@pytest.mark.parametrize(
    ("version", "training"),
    [
        ("99.0", {}),
        (torch.__version__, {}),  # of another processor
        (torch.__version__, {"device": "cuda"}),
        (torch.__version__, {"channels_last": False}),
    ],
)
def test_a_record_of_another_machine_is_shown_and_never_replaced(
    dataset, capsys, version, training
):
    run = tiny_run("dense", epochs=1, channels_last="auto")
    before = published(run, dataset, version, **training)
    record = train(run, dataset)
    assert record.provenance.device == "Another Machine"
    assert f"on Another Machine with torch {version}" in capsys.readouterr().out
    with refusal(ConfigError, "Another Machine", str(run.folder), "MOELIB_RESULTS"):
        ensure_trained(run, dataset, weights=True)
    assert run.record_path("train").read_bytes() == before


def test_a_record_of_a_device_that_is_not_here_is_shown(dataset, monkeypatch):
    run = tiny_run("dense", epochs=1)
    published(run, dataset, torch.__version__, device="cuda")
    asked = run.study.training.model_copy(update={"device": "cuda"})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    on_gpu = Run(run.study.model_copy(update={"training": asked}), "dense", 0)
    assert train(on_gpu, dataset).study.training.device == "cuda"


def test_a_record_of_another_machine_and_other_settings_is_replaced(dataset):
    published(tiny_run("dense", epochs=1), dataset, "99.0")
    run = tiny_run("dense", epochs=1, learning_rate=0.05)
    assert train(run, dataset).inputs["torch"] == torch.__version__


def test_a_state_of_another_machine_is_not_continued(dataset, interrupt, monkeypatch, capsys):
    """Its record would name one machine for the work of two."""
    run = tiny_run("dense", epochs=2)
    interrupt(STEPS)
    with pytest.raises(Killed):
        train(run, dataset)
    interrupt(None)
    monkeypatch.setattr(training_module, "device_name", lambda _: "Another Machine")
    train(run, dataset)
    assert "starting anew" in capsys.readouterr().out


def test_a_run_killed_under_another_configuration_leaves_nothing_in_this_one(
    dataset, uninterrupted, interrupt, monkeypatch
):
    """Its first epoch was done, its state not yet kept: the best weights must not be mixed."""
    run, other = tiny_run(), tiny_run(learning_rate=0.001)
    interrupt(2 * STEPS)
    with pytest.raises(Killed):
        train(run, dataset)
    interrupt(None)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(State, "save", dying)
        train(other, dataset)
    assert_equal_run(run, train(run, dataset), uninterrupted["corrected"])


# -- damage -------------------------------------------------------------------------------------


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def change_an_epoch(path: Path) -> None:
    content = path.read_bytes()
    assert b'\\"accuracy\\":' in content
    path.write_bytes(content.replace(b'\\"epoch\\": 1', b'\\"epoch\\": 2', 1))


@pytest.mark.parametrize("harm", [damage, cut, change_an_epoch])
def test_a_damaged_state_is_refused_with_what_to_do(dataset, uninterrupted, interrupt, harm):
    run = tiny_run()
    interrupt(2 * STEPS)
    with pytest.raises(Killed):
        train(run, dataset)
    interrupt(None)
    state = run.folder / "state.safetensors"
    harm(state)
    with refusal(CheckpointError, state, "damaged", "Delete"):
        train(run, dataset)
    state.unlink()
    assert_equal_run(run, train(run, dataset), uninterrupted["corrected"])


@pytest.mark.parametrize("name", ["last", "best_validation"])
@pytest.mark.parametrize("harm", [damage, cut, Path.unlink])
def test_damaged_weights_of_a_finished_run_are_refused_and_made_again(
    dataset, monkeypatch, name, harm
):
    run = tiny_run("dense", epochs=2)
    record = train(run, dataset)
    expected = weights(run, name)
    harm(run.folder / f"{name}.safetensors")
    with refusal(CheckpointError, run.folder / f"{name}.safetensors"):
        load_weights(run, build_model(run, dataset), record, name)
    monkeypatch.setattr(loop.Loop, "_train_epoch", dying)  # the state has them
    assert ensure_trained(run, dataset, weights=True).digest == record.digest
    assert same_weights(weights(run, name), expected)


def test_a_damaged_record_is_written_again(dataset, monkeypatch):
    run = tiny_run("dense", epochs=1)
    record = train(run, dataset)
    path = run.record_path("train")
    path.write_text(path.read_text().replace('"seed":0', '"seed":1'))
    monkeypatch.setattr(loop.Loop, "_train_epoch", dying)
    assert train(run, dataset).digest == record.digest


def test_weights_of_another_training_are_refused(dataset):
    run = tiny_run("dense", epochs=1)
    record = train(run, dataset)
    train(tiny_run("dense", epochs=1, learning_rate=0.05), dataset)
    with refusal(CheckpointError, run.folder / "last.safetensors", "record"):
        load_weights(run, build_model(run, dataset), record, "last")


# -- failures -----------------------------------------------------------------------------------


def test_divergence_names_the_step_and_keeps_the_last_good_state(dataset, monkeypatch):
    """The rate is absurd from the second epoch on."""
    run = tiny_run("dense")
    monkeypatch.setattr(loop, "learning_rate", lambda t, step, n: 0.1 if step < STEPS else 1e30)
    names = ("tiny dense seed 0", "not finite", "of 12", "epoch 1", "training.learning_rate")
    with refusal(TrainingError, *names):
        train(run, dataset)
    tensors, metadata, _ = load_tensors(run.folder / "state.safetensors")
    assert len(metadata["epochs"]) == 1
    assert all(t.isfinite().all() for t in tensors.values())
    assert not run.record_path("train").exists()


def test_the_step_that_is_named_is_the_first_with_a_loss_that_is_not_finite(dataset, monkeypatch):
    cross_entropy, calls = torch.nn.functional.cross_entropy, []

    def broken(logits, labels, **keys):
        if logits.requires_grad:
            calls.append(1)
        return cross_entropy(logits, labels, **keys) * (torch.inf if len(calls) == 7 else 1)

    monkeypatch.setattr(torch.nn.functional, "cross_entropy", broken)
    with refusal(TrainingError, "not finite", "step 7 of 12", "epoch 1"):
        train(tiny_run("dense"), dataset)


def test_weights_that_the_last_step_of_an_epoch_broke_are_not_kept(dataset, monkeypatch):
    run = tiny_run("dense")
    last = 2 * STEPS - 1
    monkeypatch.setattr(loop, "learning_rate", lambda t, step, n: 1e38 if step == last else 0.1)
    with refusal(TrainingError, "not finite", "step 8 of 12", "epoch 1"):
        train(run, dataset)
    assert len(load_tensors(run.folder / "state.safetensors")[1]["epochs"]) == 1


@pytest.mark.parametrize(
    ("every", "good"), [(2, 1), (2, 2), (2, 3), (5, 1), (5, 4), (5, 5), (5, 6)]
)
def test_divergence_keeps_the_last_finished_epoch_however_seldom_states_are_saved(
    dataset, monkeypatch, every, good
):
    recipe = {"epochs": 8, "checkpoint_every": every}
    with monkeypatch.context() as patch:
        patch.setattr(
            loop,
            "learning_rate",
            lambda t, step, n: 0.1 if step < good * STEPS else 1e30,
        )
        with refusal(TrainingError, f"epoch {good}"):
            train(tiny_run("dense", **recipe), dataset)
    run = tiny_run("dense", **recipe)
    tensors, metadata, _ = load_tensors(run.folder / "state.safetensors")
    assert [epoch["epoch"] for epoch in metadata["epochs"]] == list(range(1, good + 1))
    assert len(metadata["seconds"]) == good
    assert all(t.isfinite().all() for t in tensors.values())


def test_a_kept_state_that_was_not_due_is_as_good_as_any(
    dataset, uninterrupted, monkeypatch, capsys
):
    """A run that diverged by an accident of the machine goes on from there to the same end."""
    run = tiny_run(checkpoint_every=5)
    with monkeypatch.context() as patch:
        rate = loop.learning_rate
        patch.setattr(loop, "learning_rate", lambda t, s, n: rate(t, s, n) if s < 8 else 1e30)
        with pytest.raises(TrainingError):
            train(run, dataset)
    train(run, dataset)
    assert "Resumed after epoch 2 of 3." in capsys.readouterr().out
    _, last, best = uninterrupted["corrected"]
    assert same_weights(weights(run), last)
    assert same_weights(weights(run, "best_validation"), best)


def test_divergence_in_the_first_epoch(dataset):
    with refusal(TrainingError, "no epoch", "training.learning_rate"):
        train(tiny_run("dense", learning_rate=1e30), dataset)


def test_a_run_that_another_process_is_at_is_refused(dataset):
    run = tiny_run("dense", epochs=1)
    with run.locked(), refusal(ConfigError, "Another process", "tiny/dense/seed-0"):
        train(run, dataset)
    train(run, dataset)


def test_a_net_that_cannot_fit_into_memory_is_refused_before_it_is_built(dataset):
    study = tiny_run().study
    huge = study.heads["sparse"].model_copy(update={"experts": 10**12})
    run = Run(study.model_copy(update={"heads": {"sparse": huge}}), "sparse", 0)
    with refusal(ConfigError, "heads.sparse", "GiB"):
        train(run, dataset)
    assert not run.folder.exists()


def test_a_device_that_is_not_there_is_refused_before_anything_is_written(dataset, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    run = tiny_run("dense", device="cuda")
    with refusal(ConfigError, "training.device", "no CUDA device"):
        train(run, dataset)
    assert not run.folder.exists()


def test_data_that_are_not_there_are_refused_before_anything_is_written(tmp_path):
    run = tiny_run("dense")
    update = {"source": "folder", "root": str(tmp_path / "nowhere")}
    data = run.study.data.model_copy(update=update)
    run = replace(run, study=run.study.model_copy(update={"data": data}))
    with refusal(ConfigError, f"no folder {tmp_path / 'nowhere'}"):
        train(run)
    assert not run.folder.exists()


def with_backbone(run: Run, backbone) -> Run:
    return replace(run, study=run.study.model_copy(update={"backbone": backbone}))


@pytest.mark.parametrize(
    ("backbone", "size"),
    [
        (config.SmallResNet(kind="small_resnet", widths=(2, 2, 2, 2)), 8),
        (config.SpeedNet(kind="speednet", widths=(2, 2, 2)), 9),
        (config.ResNet18(kind="resnet18"), 8),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
@pytest.mark.parametrize("batch_size", [1, 8])
def test_one_image_of_one_pixel_is_refused_before_training(backbone, size, batch_size):
    run = with_backbone(tiny_run("linear", epochs=1, batch_size=batch_size), backbone)
    with refusal(ConfigError, "9 training images", f"batches of {batch_size}"):
        train(run, tiny_dataset(train=9, held_out=4, size=size))
    assert not run.folder.exists()


@pytest.mark.parametrize(("images", "split"), [(9, "test"), (11, "train")])
def test_an_analysis_of_more_images_than_there_are_is_refused_before_training(images, split):
    run = tiny_run("linear", epochs=1)
    analyses = run.study.analyses.model_copy(update={"surface": Surface(images=images)})
    run = Run(run.study.model_copy(update={"analyses": analyses}), run.head, run.seed)
    with refusal(ConfigError, f"analyses.surface.images is {images}", split):
        train(run, tiny_dataset(train=10, held_out=8 if split == "test" else 12))
    assert not run.folder.exists()


def test_one_image_of_several_pixels_and_several_of_one_pixel_are_trained():
    small = config.SmallResNet(kind="small_resnet", widths=(2, 2, 2))
    smaller = config.SmallResNet(kind="small_resnet", widths=(2, 2, 2, 2))
    for backbone, count in [(small, 9), (smaller, 10)]:
        run = with_backbone(tiny_run("linear", epochs=1, batch_size=8), backbone)
        train(run, tiny_dataset(train=count, held_out=4))


def test_a_results_folder_that_cannot_be_written_is_refused(dataset, results):
    results.parent.mkdir(exist_ok=True)
    results.write_text("a file, where a folder should be")
    with refusal(ConfigError, "Cannot write", results / "tiny/dense/seed-0"):
        train(tiny_run("dense"), dataset)


def full_disk(monkeypatch, name: str) -> None:
    """No file whose name holds `name` can be written any more."""
    write = os.fsync

    def full(handle):
        if name in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(handle)

    monkeypatch.setattr(atomic.os, "fsync", full)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux for a file's name")
@pytest.mark.parametrize("name", ["state", "last", "best_validation", "train.json"])
def test_a_full_disk_leaves_what_was_there(dataset, monkeypatch, name):
    """The old record and its weights stay whole, or what is new is told from what is old."""
    run = tiny_run("dense", epochs=1)
    old = train(run, dataset)
    before = files(run)
    new = tiny_run("dense", epochs=1, learning_rate=0.05)
    file = name if name == "train.json" else f"{name}.safetensors"
    with monkeypatch.context() as patch:
        full_disk(patch, name)
        with refusal(ConfigError, run.folder / file, "No space left on device"):
            train(new, dataset)
    assert files(run).keys() == before.keys()  # no temporary files
    assert files(run)["train.json"] == before["train.json"]
    if name == "state":
        assert files(run) == before
    assert read_record(run.record_path("train"), TrainNumbers) == old
    record = train(new, dataset)  # with room again
    assert record.inputs != old.inputs


def test_a_run_that_fails_leaves_the_record_and_weights_of_the_one_before(dataset, monkeypatch):
    run = tiny_run("dense", epochs=2)
    record = train(run, dataset)
    before = files(run)
    monkeypatch.setattr(loop, "learning_rate", lambda t, step, n: 1e30 * (step >= STEPS))
    with pytest.raises(TrainingError):
        train(tiny_run("dense", epochs=3), dataset)
    after = files(run)
    names = ["train.json", "last.safetensors", "best_validation.safetensors"]
    assert all(after[name] == before[name] for name in names)
    load_weights(run, build_model(run, dataset), record, "best_validation")


def test_a_whole_study_runs_by_its_name(monkeypatch):
    """`quick`, from its file and its data, for one epoch."""
    run = open_run("quick", "soft", 1)
    training = run.study.training.model_copy(update={"epochs": 1, "batch_size": 512})
    record = train(Run(run.study.model_copy(update={"training": training}), "soft", 1))
    assert record.numbers.images == {"train": 1213, "validation": 135, "test": 449}


def test_a_dataset_is_not_changed_by_training():
    dataset, untouched = tiny_dataset(), tiny_dataset()
    train(tiny_run("dense", epochs=1), dataset)
    for split in ("train", "validation", "test"):
        assert torch.equal(getattr(dataset, split).images, getattr(untouched, split).images)
    assert isinstance(dataset, Dataset)


def test_the_first_choices_of_the_first_validation_images_are_kept_at_each_epoch(dataset):
    run = tiny_run("sparse")
    record = train(run, dataset)
    model = build_model(run, dataset)
    load_weights(run, model, record, "last")
    _, routing = predict(model, dataset.validation, dataset, channels_last=True)
    last = torch.tensor(record.numbers.epochs[-1].watched)  # (n,)
    gates = routing.gates[:24].round(decimals=3)  # ties of these go to the first
    assert last.tolist() == [row.index(max(row)) for row in gates.tolist()]
    assert train(tiny_run("dense"), dataset).numbers.epochs[0].watched is None
