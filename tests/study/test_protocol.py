"""The protocol's keys that concern training, each alone, and the streams that heads share.

The keys that concern heads alone (noise, ties, weights, balance losses) are tested with the heads.
"""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from synthetic import recorded
from tiny import tiny_dataset, tiny_run

from moelib.heads.balance import balance_losses
from moelib.training import augment, evaluate
from moelib.training import batches as batching
from moelib.training import step as stepping
from moelib.training.checkpoint import load_tensors
from moelib.training.data import Split
from moelib.training.evaluate import metrics, predict
from moelib.training.model import build_model
from moelib.training.seeding import seeded
from moelib.training.train import load_weights, train

pytestmark = pytest.mark.slow

HEADS = ("dense", "soft", "sparse", "switch")
LAST_BATCH = 16  # of 112 images in batches of 32
SIX_DIGITS = 1e-5  # relative, what records keep, of each of two numbers


@pytest.fixture(autouse=True)
def fresh(results):
    return results


@pytest.fixture
def batches(monkeypatch):
    """The images of each training step, as they come to the network."""
    inputs = []
    network_input = batching.network_input

    def spied(images, dataset, channels_last):
        inputs.append(images.clone())
        return network_input(images, dataset, channels_last)

    monkeypatch.setattr(batching, "network_input", spied)
    return inputs


def in_turn(run, dataset, batches) -> list[torch.Tensor]:
    """What a training sees, batch by batch."""
    batches.clear()
    train(run, dataset)
    return list(batches)


def equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return len(a) == len(b) and all(map(torch.equal, a, b))


def sorted_images(images: torch.Tensor) -> torch.Tensor:
    return torch.stack(sorted(images.flatten(1), key=lambda image: image.tolist()))


# -- streams ------------------------------------------------------------------------------------


def test_heads_of_a_seed_see_the_same_batches_bit_by_bit(dataset, batches):
    sequences = [in_turn(tiny_run(head, epochs=2), dataset, batches) for head in HEADS]
    assert [len(batch) for batch in sequences[0]] == 2 * [32, 32, 32, LAST_BATCH]
    assert all(equal(other, sequences[0]) for other in sequences[1:])
    assert not equal(sequences[0][:4], sequences[0][4:])  # each epoch anew


def test_seeds_see_other_batches(dataset, batches):
    a, b = (in_turn(tiny_run("dense", seed, epochs=1), dataset, batches) for seed in (0, 1))
    assert not any(map(torch.equal, a, b))


def test_heads_see_other_batches_when_pairing_is_given_up(dataset, batches):
    key = {"paired": False}
    a, b = (in_turn(tiny_run(head, epochs=1, protocol=key), dataset, batches) for head in HEADS[:2])
    assert not any(map(torch.equal, a, b))
    # Even without augmentation: the order itself is another.
    key = {"paired": False, "augment": False}
    a, b = (in_turn(tiny_run(head, epochs=1, protocol=key), dataset, batches) for head in HEADS[:2])
    assert not any(map(torch.equal, a, b))


def test_batches_do_not_depend_on_the_default_generator_or_on_resuming(dataset, batches):
    whole = in_turn(tiny_run("dense", epochs=2), dataset, batches)
    torch.manual_seed(9)
    parts = in_turn(tiny_run("soft", epochs=1), dataset, batches)
    assert equal(parts, whole[:4])


def test_an_epoch_is_every_training_image_once(dataset, batches):
    run = tiny_run("dense", epochs=2, protocol={"augment": False})
    sequence = in_turn(run, dataset, batches)
    for epoch in (sequence[:4], sequence[4:]):
        assert torch.equal(sorted_images(torch.cat(epoch)), sorted_images(dataset.train.images))


def test_paired_heads_differ_in_their_own_draws(dataset):
    """Dropout of two heads of one kind and seed: the noise is the head's own."""
    run = tiny_run("dense")
    heads = run.study.heads | {"twin": run.study.heads["dense"]}
    study = run.study.model_copy(update={"heads": heads})
    steps = [run.stream(f"{head}/noise", 5) for head in study.heads]
    assert len(set(steps)) == len(study.heads)


# -- augment ------------------------------------------------------------------------------------


@pytest.fixture
def augmented(monkeypatch):
    """How many images each call of the augmentation was given."""
    calls = []

    def spied(images, *args):
        calls.append(len(images))
        return augment.random_crop_flip(images, *args)

    monkeypatch.setattr(batching, "random_crop_flip", spied)
    return calls


@pytest.fixture
def evaluated(monkeypatch):
    """The images of each evaluation."""
    inputs = []
    network_input = evaluate.network_input

    def spied(images, dataset, channels_last):
        inputs.append(images.clone())
        return network_input(images, dataset, channels_last)

    monkeypatch.setattr(evaluate, "network_input", spied)
    return inputs


@pytest.mark.parametrize("on", [True, False])
def test_augmentation_touches_training_batches_alone(dataset, augmented, evaluated, batches, on):
    """The authors' loader switched both at once (erratum H1)."""
    train(tiny_run("soft", epochs=2, protocol={"augment": on}), dataset)
    assert augmented == (2 * [32, 32, 32, LAST_BATCH] if on else [])
    expected = 2 * [dataset.train.images, dataset.validation.images] + [dataset.test.images]
    assert equal(evaluated, expected)
    originals = {image.numpy().tobytes() for image in dataset.train.images}
    changed = [im.numpy().tobytes() not in originals for im in torch.cat(batches)]
    # Of shifts by -1, 0 or 1 and a mirror, 1 of 18 leaves an image as it is.
    assert sum(changed) > 0.8 * len(changed) if on else not any(changed)


def test_the_studies_crop_and_flip_reach_the_augmentation(dataset, monkeypatch):
    calls = []
    monkeypatch.setattr(
        batching, "random_crop_flip", lambda images, *args: calls.append(args) or images
    )
    run = tiny_run("dense", epochs=1)
    data = run.study.data.model_copy(update={"crop_padding": 3, "flip": False})
    train(replace(run, study=run.study.model_copy(update={"data": data})), dataset)
    assert {args[:2] for args in calls} == {(3, False)}


# -- checkpoint ---------------------------------------------------------------------------------


def test_the_checkpoint_that_is_tested_is_the_protocols(dataset):
    """An absurd last epoch: last weights are bad, best ones are not."""
    schedule = {"kind": "multistep", "milestones": [3], "gamma": 100.0}
    recipe = {"epochs": 4, "batch_size": 16, "learning_rate": 0.1, "schedule": schedule}
    records = {}
    for name in ("last", "best_validation"):
        run = tiny_run("dense", seed=1, protocol={"checkpoint": name}, **recipe)
        records[name] = train(run, dataset)
        model = build_model(run, dataset)
        load_weights(run, model, records[name], name)
        logits, _ = predict(model, dataset.test, dataset)
        assert recorded(metrics(logits, dataset.test.labels, None)) == records[name].numbers.test
    last, best = (records[name].numbers for name in ("last", "best_validation"))
    accuracies = [epoch.validation.accuracy for epoch in last.epochs]
    assert last.best_validation_epoch == accuracies.index(max(accuracies)) + 1 < 4
    assert (last.tested_epoch, best.tested_epoch) == (4, last.best_validation_epoch)
    assert last.weights == best.weights  # both are kept, whatever is tested
    assert last.weights["last"] != last.weights["best_validation"]
    assert last.test.loss != best.test.loss


def test_of_equal_validation_accuracies_the_first_is_best(dataset):
    one_image = Split(dataset.validation.images[:1], dataset.validation.labels[:1])
    run = tiny_run("linear", epochs=4)
    numbers = train(run, replace(dataset, validation=one_image)).numbers
    accuracies = [epoch.validation.accuracy for epoch in numbers.epochs]
    assert numbers.best_validation_epoch == accuracies.index(max(accuracies)) + 1
    metadata = load_tensors(run.folder / "best_validation.safetensors")[1]
    assert metadata == {"epoch": numbers.best_validation_epoch}


# -- loss_mean ----------------------------------------------------------------------------------


def test_batch_means_weigh_a_last_small_batch_more(dataset):
    """40 images in batches of 32: the last 8 weigh four times as much, in every loss."""
    images = train(tiny_run("linear", epochs=1), dataset).numbers
    run = tiny_run("linear", epochs=1, protocol={"loss_mean": "batches"})
    batches = train(run, dataset).numbers
    assert batches.weights == images.weights  # the training is the same
    model = build_model(run, dataset)
    load_weights(run, model, train(run, dataset), "last")
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    for name, split in splits.items():
        losses = F.cross_entropy(
            predict(model, split, dataset)[0].double(), split.labels, reduction="none"
        )
        parts = [losses[start : start + 32].mean().item() for start in range(0, len(losses), 32)]
        of_batches, of_images = (
            numbers.test if name == "test" else getattr(numbers.epochs[0], name)
            for numbers in (batches, images)
        )
        assert of_images.loss == pytest.approx(losses.mean().item(), rel=SIX_DIGITS)
        assert of_batches.loss == pytest.approx(sum(parts) / len(parts), rel=SIX_DIGITS)
        assert of_batches.loss != pytest.approx(of_images.loss, rel=1e-6)
        assert of_batches.accuracy == of_images.accuracy


# -- train_loss_with_balance --------------------------------------------------------------------


@pytest.mark.parametrize("train_metrics", ["evaluation", "running"])
@pytest.mark.parametrize("head", ["dense", "soft", "sparse", "switch"])
def test_the_reported_train_loss_contains_the_balance_losses(dataset, head, train_metrics):
    plain, with_balance = (
        train(
            tiny_run(
                head,
                epochs=1,
                protocol={"train_metrics": train_metrics, "train_loss_with_balance": on},
            ),
            dataset,
        ).numbers
        for on in (False, True)
    )
    (plain_epoch,), (epoch,) = plain.epochs, with_balance.epochs
    assert with_balance.weights == plain.weights
    assert epoch.balance == plain_epoch.balance
    total = sum(epoch.balance.values())
    assert (total > 0) == (head != "dense")
    assert epoch.train.loss == pytest.approx(plain_epoch.train.loss + total, rel=SIX_DIGITS)
    assert epoch.validation == plain_epoch.validation  # never in an evaluation
    assert with_balance.test == plain.test


def test_balance_losses_that_are_recorded_are_weighted_means_over_steps(dataset, monkeypatch):
    steps = []

    def spied(*args):
        parts = balance_losses(*args)
        steps.append({name: part.item() for name, part in parts.items()})
        return parts

    monkeypatch.setattr(stepping, "balance_losses", spied)
    (epoch,) = train(tiny_run("sparse", epochs=1), dataset).numbers.epochs
    assert epoch.balance.keys() == {"importance", "load", "z"}
    for name, mean in epoch.balance.items():
        assert mean == pytest.approx(sum(parts[name] for parts in steps) / 4, rel=SIX_DIGITS)


# -- train_metrics ------------------------------------------------------------------------------


def test_train_metrics_of_an_epochs_end_are_those_of_its_weights(dataset):
    run = tiny_run("sparse", epochs=1)
    record = train(run, dataset)
    model = build_model(run, dataset)
    load_weights(run, model, record, "last")
    logits, routing = predict(model, dataset.train, dataset)
    (epoch,) = record.numbers.epochs
    expected = metrics(logits, dataset.train.labels, routing)
    assert epoch.train == recorded(expected)


def test_curves_may_be_of_the_first_training_images_alone(dataset):
    run = tiny_run("dense", epochs=1, curve_images=24)
    record = train(run, dataset)
    model = build_model(run, dataset)
    load_weights(run, model, record, "last")
    first = Split(dataset.train.images[:24], dataset.train.labels[:24])
    logits, _ = predict(model, first, dataset)
    assert record.numbers.epochs[0].train == recorded(metrics(logits, first.labels, None))


def test_running_train_metrics_are_of_the_steps_as_they_passed(dataset, monkeypatch):
    """Logits before each step, in training mode: dropout and batch statistics included."""
    cross_entropy, steps = F.cross_entropy, []

    def spied(logits, labels, **keys):
        if logits.requires_grad:
            losses = cross_entropy(logits.detach().double(), labels, reduction="none")
            steps.append((losses, logits.argmax(1) == labels))
        return cross_entropy(logits, labels, **keys)

    monkeypatch.setattr(F, "cross_entropy", spied)
    run = tiny_run("sparse", epochs=2, protocol={"train_metrics": "running"})
    record = train(run, dataset)
    for epoch, epoch_steps in zip(record.numbers.epochs, (steps[:4], steps[4:]), strict=True):
        losses, right = (torch.cat(parts) for parts in zip(*epoch_steps, strict=True))
        assert epoch.train.loss == pytest.approx(losses.mean().item(), rel=SIX_DIGITS)
        assert epoch.train.accuracy == pytest.approx(right.double().mean().item(), rel=SIX_DIGITS)
    assert sum(record.numbers.epochs[0].train.load) == pytest.approx(2)  # k of each image


def test_metrics_change_nothing_in_the_training(dataset):
    weights = [
        train(tiny_run("sparse", epochs=2, protocol=protocol), dataset).numbers.weights["last"]
        for protocol in (
            {},
            {"train_metrics": "running"},
            {"loss_mean": "batches"},
            {"train_loss_with_balance": True},
            {"checkpoint": "best_validation"},
            {"noise_at_evaluation": True},
        )
    ]
    assert len(set(weights)) == 1


def test_each_key_that_concerns_training_changes_it(dataset):
    weights = [
        train(tiny_run("sparse", epochs=1, protocol=protocol), dataset).numbers.weights["last"]
        for protocol in (
            {},
            {"augment": False},
            {"paired": False},
            {"load": "importance"},
            {"logit_dropout": True, "load": "importance"},
        )
    ]
    assert len(set(weights)) == 5


# -- evaluation with noise ----------------------------------------------------------------------


def test_noise_at_evaluation_repeats_in_a_run_and_differs_between_epochs(dataset):
    run = tiny_run("sparse", epochs=2, protocol={"noise_at_evaluation": True}, learning_rate=1e-30)
    first = train(run, dataset).numbers
    run.record_path("train").unlink()
    (run.folder / "state.safetensors").unlink()
    assert train(run, dataset).numbers == first
    masses = [epoch.validation.gate_mass for epoch in first.epochs]
    assert not math.isclose(masses[0][0], masses[1][0], rel_tol=1e-9)  # a stream per epoch


def test_noise_at_evaluation_is_of_streams_of_its_own(dataset):
    run = tiny_run("sparse", epochs=1, protocol="as-run")
    record = train(run, dataset)
    model = build_model(run, dataset)
    load_weights(run, model, record, "last")
    (epoch,) = record.numbers.epochs
    for name, index, split, numbers in (
        ("evaluation", 1, dataset.validation, epoch.validation),
        ("test", 0, dataset.test, record.numbers.test),
    ):
        with seeded(run.stream(f"sparse/{name}", index), torch.device("cpu")):
            logits, routing = predict(model, split, dataset)
        assert recorded(metrics(logits, split.labels, routing, batch=32)) == numbers


def test_validation_and_test_images_reach_no_gradient(dataset):
    """Other held-out images, the same weights."""
    other = tiny_dataset(held_out=20)
    run = tiny_run("sparse", epochs=2)
    first = train(run, dataset).numbers
    swapped = train(run, replace(dataset, validation=other.test, test=other.validation, digest="b"))
    assert swapped.numbers.weights["last"] == first.weights["last"]
    assert swapped.numbers.test != first.test
