"""Utilization: information against closed forms, its null against theory, and the record."""

import math
from dataclasses import replace

import pytest
import torch
from prose import refusal
from tiny import tiny_run

from moelib.analyses.utilization import (
    analyse_utilization,
    dead_experts,
    information,
    mutual_information,
)
from moelib.heads import usage
from moelib.records.freshness import analysis_inputs
from moelib.records.kinds import UtilizationNumbers
from moelib.records.record import read_record
from moelib.study.analyses import Utilization
from moelib.study.base import ConfigError
from moelib.study.run import Run
from moelib.training.evaluate import predict
from moelib.training.model import build_model
from moelib.training.train import load_weights, train

pytestmark = pytest.mark.slow

EXACT = {"abs": 1e-12}  # sums of some hundred terms of order 1 in float64


@pytest.fixture(autouse=True)
def fresh(results):
    return results


def random_gates(n: int, experts: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, experts, dtype=torch.float64, generator=generator)


def one_hot(indices: torch.Tensor, experts: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(indices, experts).double()


# -- mutual information -------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 5])
def test_one_expert_per_class_knows_all(classes):
    labels = torch.arange(7 * classes) % classes
    gates = one_hot(labels, classes)
    assert mutual_information(gates, labels, classes).item() == pytest.approx(
        math.log(classes), **EXACT
    )


def test_gates_that_ignore_the_class_know_nothing():
    labels = torch.arange(30) % 3
    gates = random_gates(10, 4).repeat_interleave(3, dim=0)  # ten gates, each in every class
    assert mutual_information(gates, labels, 3).item() == pytest.approx(0, **EXACT)


def test_information_of_a_known_table():
    # Joint (3/8, 1/8; 1/8, 3/8): 2 (3/8 ln(3/2) + 1/8 ln(1/2)).
    labels = torch.tensor([0] * 4 + [1] * 4)
    gates = one_hot(torch.tensor([0, 0, 0, 1, 1, 1, 1, 0]), 2)
    expected = 2 * (3 / 8 * math.log(1.5) + 1 / 8 * math.log(0.5))
    assert mutual_information(gates, labels, 2).item() == pytest.approx(expected, **EXACT)
    # The same table from soft gates: a quarter of each image's gate elsewhere.
    soft = 0.25 + 0.5 * one_hot(labels, 2)
    assert mutual_information(soft, labels, 2).item() == pytest.approx(expected, **EXACT)


def test_information_against_the_definition():
    gates, labels = random_gates(50, 4), torch.arange(50) % 3
    share = gates / gates.sum(dim=1, keepdim=True)
    total = 0.0
    for c in range(3):
        for e in range(4):
            joint = share[labels == c, e].sum().item() / 50
            independent = (labels == c).double().mean().item() * share[:, e].mean().item()
            total += joint * math.log(joint / independent)
    assert mutual_information(gates, labels, 3).item() == pytest.approx(total, **EXACT)


def test_information_does_not_depend_on_names_of_experts_and_classes_or_order_of_images():
    gates, labels = random_gates(60, 5), torch.arange(60) % 4
    value = mutual_information(gates, labels, 4).item()
    generator = torch.Generator().manual_seed(1)
    experts, images = (torch.randperm(n, generator=generator) for n in (5, 60))
    names = torch.tensor([2, 0, 3, 1])
    for same in (
        mutual_information(gates[:, experts], labels, 4),
        mutual_information(gates, names[labels], 4),
        mutual_information(gates[images], labels[images], 4),
        mutual_information(0.3 * gates, labels, 4),  # a switch head's gates sum to less than 1
        mutual_information(torch.cat([gates, gates]), torch.cat([labels, labels]), 4),
    ):
        assert same.item() == pytest.approx(value, **EXACT)


def test_experts_and_classes_without_mass_are_no_trouble():
    labels = torch.tensor([0, 0, 2, 2])
    gates = one_hot(torch.tensor([0, 0, 3, 3]), 4)
    assert mutual_information(gates, labels, 3).item() == pytest.approx(math.log(2), **EXACT)


# -- the null -----------------------------------------------------------------------------------


def test_the_null_of_independent_selections_has_the_bias_of_theory():
    """Miller's bias (c - 1)(e - 1) / 2n, whose next term is of order 1 / n^2."""
    classes, experts, n = 5, 4, 2000
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (n,), generator=generator)
    gates = one_hot(torch.randint(experts, (n,), generator=generator), experts)
    info = information(gates, labels, classes, permutations=400)
    expected = (classes - 1) * (experts - 1) / (2 * n)
    # 2n I is chi-squared with 12 degrees: its deviation over its mean is sqrt(2 / 12) = 0.41, so
    # the mean of 400 has a standard error of 2 %.
    assert info.null_mean == pytest.approx(expected, rel=0.08)
    assert info.null_deviation == pytest.approx(expected * math.sqrt(2 / 12), rel=0.2)
    # 95 % of a chi-squared with 12 degrees lie below 21.03.
    assert info.null_95 == pytest.approx(21.03 / (2 * n), rel=0.1)


def test_p_values_of_independent_data_are_uniform():
    """200 data sets: the share below p is p, within three standard errors."""
    generator = torch.Generator().manual_seed(0)
    p_values = []
    for seed in range(200):
        labels = torch.randint(3, (60,), generator=generator)
        p_values.append(information(random_gates(60, 4, seed), labels, 3, permutations=19).p_value)
    p_values = torch.tensor(p_values, dtype=torch.float64)
    for level in (0.1, 0.25, 0.5, 0.75, 0.9):
        share = (p_values <= level + 1e-9).double().mean().item()
        assert abs(share - level) < 3 * math.sqrt(level * (1 - level) / 200)
    assert p_values.min() >= 1 / 20 and p_values.max() <= 1


def test_real_information_has_the_least_p_value():
    labels = torch.arange(100) % 4
    info = information(one_hot(labels, 4) + 0.1, labels, 4, permutations=99)
    assert info.p_value == 1 / 100
    assert info.null_mean < info.null_95 < info.value < info.bound == pytest.approx(math.log(4))


@pytest.mark.parametrize("seed", [1, 3, 4])
@pytest.mark.parametrize("experts", [3, 5, 8])
def test_gates_that_are_all_alike_are_never_significant(experts, seed):
    """All shuffles give the same table; rounding alone must not tell them apart."""
    labels = torch.randint(10, (9973,), generator=torch.Generator().manual_seed(seed))
    gates = torch.full((9973, experts), 1 / experts, dtype=torch.float64)
    info = information(gates, labels, 10, permutations=20)
    assert info.value == pytest.approx(0, abs=1e-9)
    assert info.p_value == 1


def test_the_null_is_the_same_whatever_ran_before():
    gates, labels = random_gates(40, 3), torch.arange(40) % 2
    estimates = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        estimates.append(information(gates, labels, 2, permutations=20))
    assert estimates[0] == estimates[1]


def test_bound_is_the_entropy_of_the_classes():
    labels = torch.tensor([0] * 3 + [1])
    info = information(random_gates(4, 2), labels, 3, permutations=2)  # no image of class 2
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert info.bound == pytest.approx(expected, **EXACT)


# -- dead experts -------------------------------------------------------------------------------


def test_an_expert_is_dead_strictly_below_the_threshold():
    mass = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64)  # uniform: 0.25
    assert dead_experts(mass, 0.5) == []
    assert dead_experts(mass, 0.51) == [2, 3]
    assert dead_experts(torch.tensor([1.0, 0.0]), 0.1) == [1]


def test_death_is_of_the_share_and_not_of_the_mass():
    mass = torch.tensor([0.6, 0.01, 0.39], dtype=torch.float64)
    assert dead_experts(0.2 * mass, 0.1) == dead_experts(mass, 0.1) == [1]


# -- the analysis -------------------------------------------------------------------------------


SIX_DIGITS = 5e-6  # relative, what records keep


@pytest.mark.parametrize("protocol", ["corrected", "as-run"])
@pytest.mark.parametrize("head", ["soft", "sparse", "switch", "uniform", "frozen"])
def test_a_record_of_a_trained_run(dataset, head, protocol):
    run = tiny_run(head, epochs=2, protocol=protocol)
    trained = train(run, dataset)
    record = analyse_utilization(run, dataset)
    numbers = record.numbers
    assert read_record(run.record_path("utilization"), UtilizationNumbers) == record
    assert (record.study, record.head, record.seed) == (trained.study, head, 0)
    sizes = run.study.analyses.utilization
    assert record.inputs == analysis_inputs(
        trained, "utilization", sizes, dataset.digest, exact=False
    )
    assert numbers.epoch == trained.numbers.tested_epoch
    assert len(numbers.dead_per_epoch) == 2
    model = build_model(run, dataset)
    load_weights(run, model, trained, run.study.protocol.checkpoint)
    for split, stats in ((dataset.train, numbers.train), (dataset.test, numbers.test)):
        assert stats.images == len(split)
        chosen = {"sparse": 2, "frozen": 2, "switch": 1}.get(head, 4)
        assert stats.entropy_bound == pytest.approx(math.log(chosen), rel=SIX_DIGITS)
        assert sum(stats.load) == pytest.approx(chosen, rel=SIX_DIGITS)
        assert 0 <= stats.information.p_value <= 1 and stats.information.permutations == 20
        if protocol == "as-run" and head == "sparse":
            continue  # its evaluation is noisy
        _, routing = predict(model, split, dataset)
        mass = routing.gates.double().mean(dim=0)
        assert stats.gate_mass == pytest.approx(mass.tolist(), rel=SIX_DIGITS)
        assert stats.gate_mass_variation == pytest.approx(
            usage.coefficient_of_variation(mass).item(), rel=SIX_DIGITS, abs=1e-9
        )
        expected = usage.class_expert(routing.gates.double(), split.labels, 4)
        assert torch.tensor(stats.class_expert).double().sub(expected).abs().max() < 1e-6
    if head == "uniform":
        assert numbers.test.information.p_value == 1 and numbers.test.dead == ()
    if protocol == "corrected":
        assert numbers.test.gate_mass == pytest.approx(trained.numbers.test.gate_mass)


def test_the_analysis_repeats(dataset):
    run = tiny_run("sparse", epochs=1, protocol="as-run")  # whose evaluation is noisy
    train(run, dataset)
    first = analyse_utilization(run, dataset)
    torch.manual_seed(3)
    assert analyse_utilization(run, dataset, again=True).digest == first.digest


def test_a_class_without_images_is_null(dataset):
    run = tiny_run("soft", epochs=1)
    train(run, dataset)
    labels = dataset.test.labels.clone()
    labels[labels == 2] = 3
    test = replace(dataset.test, labels=labels)
    numbers = analyse_utilization(run, replace(dataset, test=test)).numbers
    assert [row is None for row in numbers.test.class_expert] == [False, False, True, False]
    assert None not in numbers.train.class_expert


@pytest.mark.parametrize("head", ["dense", "linear"])
def test_a_head_without_experts_is_refused(dataset, head):
    run = tiny_run(head, epochs=1)
    with refusal(ConfigError, f"'{head}'", "no experts", "utilization"):
        analyse_utilization(run, dataset)


def test_a_run_that_is_not_trained_is_trained(dataset):
    run = tiny_run("soft", epochs=1)
    record = analyse_utilization(run, dataset)
    assert record.numbers.epoch == train(run, dataset).numbers.tested_epoch


def test_weights_that_are_gone_are_needed_to_measure_and_not_to_show(dataset, monkeypatch):
    run = tiny_run("soft", epochs=1)
    record = analyse_utilization(run, dataset)
    (run.folder / "last.safetensors").unlink()
    assert analyse_utilization(run, dataset) == record
    assert not (run.folder / "last.safetensors").exists()
    assert analyse_utilization(run, dataset, again=True).digest == record.digest
    assert (run.folder / "last.safetensors").exists()


def test_the_protocols_weights_are_analysed(dataset):
    """The best epoch is not the last: a rate that grows a hundredfold breaks the net."""
    schedule = {"kind": "multistep", "milestones": [3], "gamma": 100.0}
    recipe = {"epochs": 4, "batch_size": 16, "schedule": schedule}
    analyses = {}
    for checkpoint in ("last", "best_validation"):
        run = tiny_run("soft", seed=1, protocol={"checkpoint": checkpoint}, **recipe)
        trained = train(run, dataset).numbers
        analyses[checkpoint] = analyse_utilization(run, dataset).numbers
        assert analyses[checkpoint].epoch == trained.tested_epoch
        assert analyses[checkpoint].test.gate_mass == pytest.approx(trained.test.gate_mass)
    assert analyses["last"].epoch != analyses["best_validation"].epoch
    assert analyses["last"].test.gate_mass != analyses["best_validation"].test.gate_mass


def test_what_changed_is_made_again(dataset):
    run = tiny_run("soft", epochs=1)
    before = analyse_utilization(run, dataset)
    trained = train(run, dataset)
    sizes = run.study.analyses.model_copy(update={"utilization": Utilization(permutations=5)})
    resized = Run(run.study.model_copy(update={"analyses": sizes}), "soft", 0)
    after = analyse_utilization(resized, dataset)
    assert after.numbers.test.gate_mass == before.numbers.test.gate_mass
    assert after.numbers.test.information.permutations == 5
    assert train(resized, dataset) == trained
    hotter = run.study.heads["soft"].model_copy(update={"temperature": 9.0})
    update = {"heads": run.study.heads | {"soft": hotter}}
    changed = Run(run.study.model_copy(update=update), "soft", 0)
    assert analyse_utilization(changed, dataset).study.heads["soft"].temperature == 9.0
    assert train(changed, dataset).digest != trained.digest


def test_a_device_that_is_not_there_is_refused(dataset, monkeypatch):
    run = tiny_run("soft", epochs=1)
    train(run, dataset)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    on_gpu = run.study.training.model_copy(update={"device": "cuda"})
    run = Run(run.study.model_copy(update={"training": on_gpu}), "soft", 0)
    with refusal(ConfigError, "training.device", "no CUDA device"):
        analyse_utilization(run, dataset)
