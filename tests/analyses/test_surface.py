"""The loss surface: a quadratic in closed form, routing by a naive loop, and the record."""

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from prose import refusal
from tiny import tiny_run
from torch import nn

from moelib.analyses.surface import analyse_surface, plane, sweep
from moelib.curvature.directions import filter_normalised
from moelib.curvature.error import CurvatureError
from moelib.curvature.objective import Objective
from moelib.records.kinds import SurfaceNumbers, TrainNumbers
from moelib.records.record import read_record
from moelib.study.analyses import Analyses, Surface
from moelib.study.base import ConfigError
from moelib.study.run import Run
from moelib.training.data import Dataset
from moelib.training.evaluate import network_input
from moelib.training.model import build_model
from moelib.training.train import train

pytestmark = pytest.mark.slow

EXACT = {"rel": 1e-12, "abs": 1e-12}  # float64, sums of some dozens of terms of order 1
RADII = (-1.0, -0.5, 0.0, 0.5, 1.0)
IMAGES = 32


@pytest.fixture(autouse=True)
def fresh(results):
    return results


# -- a quadratic --------------------------------------------------------------------------------


class Bowl(nn.Module):
    """Logits x W^T, whose squared error is quadratic in W."""

    def __init__(self, features: int, classes: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, features, dtype=torch.float64))

    def routed(self, images):
        return images @ self.weight.T, None

    def forward(self, images):
        return self.routed(images)[0]


def squares(logits, labels):
    return ((logits - F.one_hot(labels, logits.shape[1])) ** 2).sum(dim=1) / 2


@pytest.fixture
def bowl() -> Objective:
    torch.manual_seed(0)
    images, labels = torch.randn(20, 4, dtype=torch.float64), torch.arange(20) % 3
    return Objective(Bowl(4, 3), images, labels, loss=squares, batch=7)


def step_of(objective: Objective, seed: int = 1) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.randn_like(objective.weights)


def test_a_sweep_of_a_quadratic(bowl):
    """L(r) = L(0) + r g.d + r^2 d.H d / 2, so that the rise is r^2 d.H d / 2 alone."""
    step = step_of(bowl)
    line = sweep(bowl, step, RADII, direction="ahead", split="all")
    value, gradient = bowl.value_and_gradient()
    slope, bend = (gradient @ step).item(), (step @ bowl.hessian(step[None])[0]).item()
    assert line.loss == pytest.approx(
        [value + r * slope + r * r * bend / 2 for r in RADII], **EXACT
    )
    assert line.rise == pytest.approx([0.25 * bend / 2, bend / 2], **EXACT)
    pushed = bowl.images @ step.view(3, 4).T
    assert bend == pytest.approx((pushed**2).sum(dim=1).mean().item(), **EXACT)
    for r, accuracy in zip(RADII, line.accuracy, strict=True):
        logits = bowl.images @ (bowl.weights + r * step).view(3, 4).T
        assert accuracy == (logits.argmax(dim=1) == bowl.labels).double().mean().item()
    assert line.rerouted is None
    assert line.length == pytest.approx(step.norm().item(), **EXACT)
    assert (line.direction, line.split, line.radii) == ("ahead", "all", RADII)


def test_the_rise_does_not_depend_on_the_sign(bowl):
    step = step_of(bowl)
    ahead, back = (sweep(bowl, s, RADII, direction="", split="") for s in (step, -step))
    assert ahead.rise == back.rise
    assert ahead.loss == back.loss[::-1] != back.loss


def test_a_plane_of_a_quadratic_and_its_axes(bowl):
    first, second = step_of(bowl, 1), step_of(bowl, 2)
    grid = plane(bowl, first, second, RADII, split="all")
    for i, a in enumerate(RADII):
        for j, b in enumerate(RADII):
            expected = bowl.value(bowl.weights + (a * first + b * second))
            assert grid.loss[i][j] == pytest.approx(expected, **EXACT)
    along = partial(sweep, bowl, radii=RADII, direction="", split="")
    assert tuple(row[2] for row in grid.loss) == along(first).loss
    assert grid.loss[2] == along(second).loss


def test_a_temperature_is_part_of_the_loss(bowl):
    model = Bowl(4, 3)
    cold = Objective(model, bowl.images, bowl.labels, temperature=3.0)
    line = sweep(cold, step_of(cold), RADII, direction="", split="")
    assert line.loss[2] == cold.value()


def test_each_point_ticks(bowl):
    ticks = []
    step, tick = step_of(bowl), lambda: ticks.append(0)
    sweep(bowl, step, RADII, direction="", split="", tick=tick)
    assert len(ticks) == 5
    plane(bowl, step, step, RADII, split="", tick=tick)
    assert len(ticks) == 5 + 25


@pytest.mark.parametrize(
    ("radii", "rule"),
    [
        ((-1.0, 1.0), "must hold 0"),
        ((), "must hold 0"),
        ((0.0,), "must ascend"),
        ((0.0, 0.5), "must ascend"),
        ((1.0, 0.0, -1.0), "must ascend"),
    ],
)
def test_radii_that_make_no_surface_are_refused(bowl, radii, rule):
    step = step_of(bowl)
    for attempt in (
        lambda: sweep(bowl, step, radii, direction="", split=""),
        lambda: plane(bowl, step, step, radii, split=""),
    ):
        with refusal(ConfigError, radii, rule):
            attempt()


def test_a_loss_that_is_not_finite_is_refused_by_name_and_the_model_stays():
    torch.manual_seed(0)
    model = Bowl(4, 3).train()
    before = model.weight.detach().clone()
    images, labels = torch.randn(5, 4, dtype=torch.float64), torch.arange(5) % 3
    objective = Objective(model, images, labels, loss=squares)
    step = torch.ones_like(objective.weights)
    radii = (-1e200, 0.0, 1e200)  # whose squares are not numbers of float64
    with refusal(CurvatureError, "test", "inf", "-1e+200", "random 3", "analyses.surface"):
        sweep(objective, step, radii, direction="random 3", split="test")
    with refusal(CurvatureError, "test", "inf", "-1e+200 and -1e+200", "plane"):
        plane(objective, step, step, radii, split="test")
    assert torch.equal(model.weight, before) and model.training and model.weight.grad is None


# -- routing ------------------------------------------------------------------------------------


def objective_of(head: str, dataset: Dataset, protocol="corrected") -> tuple[nn.Module, Objective]:
    """A fresh model, in float64 so that no rounding turns a ranking."""
    model = build_model(tiny_run(head, protocol=protocol), dataset).double()
    test = dataset.test

    def prepare(images):
        return network_input(images, dataset, True).double()

    return model, Objective(model, test.images, test.labels, prepare=prepare, batch=16)


def naive_outputs(model: nn.Module, weights: torch.Tensor, objective: Objective):
    """Logits and routing of a copy that holds other weights."""
    moved = copy.deepcopy(model).eval()
    nn.utils.vector_to_parameters(weights, moved.parameters())
    with torch.no_grad():
        return moved.routed(objective.prepare(objective.images))


@pytest.mark.parametrize("head", ["sparse", "switch", "frozen"])
def test_a_sweep_against_a_copy_that_holds_the_moved_weights(dataset, head):
    model, objective = objective_of(head, dataset)
    before = copy.deepcopy(model.state_dict())
    step = 3 * filter_normalised(model, torch.Generator().manual_seed(3))
    line = sweep(objective, step, RADII, direction="", split="")
    _, here = naive_outputs(model, objective.weights, objective)
    for i, r in enumerate(RADII):
        logits, routing = naive_outputs(model, objective.weights + r * step, objective)
        # Folded normalisations multiply in another order: roundings of float64 through ten layers.
        expected = F.cross_entropy(logits, objective.labels).item()
        assert line.loss[i] == pytest.approx(expected, rel=1e-10)
        right = [z.argmax() == y for z, y in zip(logits, objective.labels, strict=True)]
        assert line.accuracy[i] == sum(right) / len(right)
        changes = [
            set(a.tolist()) != set(b.tolist())
            for a, b in zip(routing.indices, here.indices, strict=True)
        ]
        assert line.rerouted[i] == sum(changes) / len(changes)
    assert line.rerouted[2] == 0 < max(line.rerouted)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("head", ["linear", "dense", "soft", "uniform"])
def test_where_every_expert_is_run_nothing_is_rerouted(dataset, head):
    model, objective = objective_of(head, dataset)
    step = filter_normalised(model, torch.Generator().manual_seed(0))
    assert sweep(objective, step, (-1.0, 0.0, 1.0), direction="", split="").rerouted is None


def test_experts_in_another_order_are_the_same_choice(dataset):
    """Exchanged gate rows rank the two experts the other way around: no image is rerouted."""
    model, objective = objective_of("sparse", dataset)
    gate = model.head.gate.score
    with torch.no_grad():
        gate.weight.zero_()
        gate.bias.copy_(torch.tensor([3.0, 2.0, 0.0, -1.0]))
    swapped = copy.deepcopy(model)
    with torch.no_grad():
        swapped.head.gate.score.bias.copy_(torch.tensor([2.0, 3.0, 0.0, -1.0]))
    flat = nn.utils.parameters_to_vector
    step = flat(swapped.parameters()).detach() - flat(model.parameters()).detach()
    test = dataset.test
    objective = Objective(model, test.images, test.labels, prepare=objective.prepare)
    line = sweep(objective, step, (-1.0, 0.0, 1.0), direction="", split="")
    assert line.rerouted == (0.0, 0.0, 0.0)
    distant = sweep(objective, 4 * step, (-1.0, 0.0, 1.0), direction="", split="")
    assert distant.rerouted == (1.0, 0.0, 1.0)  # logits 7, -2, 0, -1 and -1, 6, 0, -1


# -- the analysis -------------------------------------------------------------------------------


def small_run(head: str, dataset: Dataset, **changes) -> Run:
    """A trained tiny run whose surface is small."""
    sizes = {
        "images": IMAGES,
        "eigenvector_radii": (-0.1, 0.0, 0.1),
        "directions": 2,
        "random_radii": RADII,
        "plane_radii": (-0.5, 0.0, 0.5),
    }
    protocol = changes.pop("protocol", "corrected")
    run = tiny_run(head, epochs=1, protocol=protocol)
    train(run, dataset)
    analyses = Analyses(surface=Surface(**{**sizes, **changes}))
    return Run(run.study.model_copy(update={"analyses": analyses}), run.head, run.seed)


@pytest.mark.parametrize(
    ("head", "protocol"),
    [("sparse", "corrected"), ("sparse", "as-run"), ("soft", "as-run"), ("dense", "corrected")],
)
def test_a_record_of_a_trained_run(dataset, head, protocol):
    run = small_run(head, dataset, protocol=protocol)
    record = analyse_surface(run, dataset)
    numbers = record.numbers
    assert read_record(run.record_path("surface"), SurfaceNumbers) == record
    assert record.study == run.study and (record.head, record.seed) == (head, 0)
    assert (numbers.epoch, numbers.images) == (1, IMAGES)
    assert numbers.gate_noise_removed is (head == "sparse" and protocol == "as-run")
    # It is within 1 % of the largest absolute value, which the lowest may have so early.
    assert 0 <= numbers.eigenvalue_residual <= 0.05 * numbers.eigenvalue
    names = ["eigenvector", "random 0", "random 1"]
    assert [(s.split, s.direction) for s in numbers.sweeps] == [
        (split, name) for split in ("train", "test") for name in names
    ]
    for line in numbers.sweeps:
        eigenvector = line.direction == "eigenvector"
        assert line.radii == ((-0.1, 0.0, 0.1) if eigenvector else RADII)
        # A unit vector of float32; a direction is at most as long as the weights.
        if eigenvector:
            assert line.length == pytest.approx(1, abs=1e-6)
        assert 0 < line.length <= numbers.weight_norm
        middle = len(line.radii) // 2
        assert len(line.rise) == middle
        if head == "sparse":
            assert line.rerouted[middle] == 0 and all(0 <= r <= 1 for r in line.rerouted)
        else:
            assert line.rerouted is None
    for split, grid in zip(("train", "test"), numbers.planes, strict=True):
        assert grid.split == split
        along = {s.direction: s for s in numbers.sweeps if s.split == split}
        assert tuple(row[1] for row in grid.loss) == along["random 0"].loss[1:4]
        assert grid.loss[1] == along["random 1"].loss[1:4]
        assert len({s.loss[len(s.radii) // 2] for s in along.values()}) == 1


def test_the_eigenvector_bends_the_training_loss_by_its_eigenvalue(dataset):
    """rise(r) / (r^2 / 2) -> lambda as r -> 0; a dense head has no pieces to leave."""
    run = small_run("dense", dataset, eigenvector_radii=(-0.01, 0.0, 0.01))
    numbers = analyse_surface(run, dataset).numbers
    first = numbers.sweeps[0]
    # Rounding of a loss of 1.4 in float32, 1e-7, is 3 % of the rise; ReLU kinks add as much.
    assert first.rise[0] / (0.01**2 / 2) == pytest.approx(numbers.eigenvalue, rel=0.15)
    # The sign is the one along which the loss grows.
    assert first.loss[2] >= first.loss[0]


def test_the_whole_splits_agree_with_the_training_record(dataset):
    run = small_run("sparse", dataset, images=40)
    trained = read_record(run.record_path("train"), TrainNumbers).numbers
    sweeps = {s.split: s for s in analyse_surface(run, dataset).numbers.sweeps}
    # All 40 test images; sums of float32 in another order.
    assert sweeps["test"].loss[2] == pytest.approx(trained.test.loss, rel=1e-5)
    assert sweeps["test"].accuracy[2] == trained.test.accuracy


def test_the_analysis_repeats_and_leaves_the_weights_alone(dataset):
    run = small_run("sparse", dataset, protocol="as-run", directions=1)
    weights = {path: path.read_bytes() for path in run.folder.glob("*.safetensors")}
    first = analyse_surface(run, dataset)
    torch.manual_seed(3)
    assert analyse_surface(run, dataset, again=True).digest == first.digest
    assert weights and all(path.read_bytes() == content for path, content in weights.items())
    assert [s.direction for s in first.numbers.sweeps[:2]] == ["eigenvector", "random 0"]
    assert len(first.numbers.sweeps) == 4 and len(first.numbers.planes) == 2


def test_more_images_than_a_split_has_are_refused(dataset):
    run = small_run("linear", dataset, images=41)
    with refusal(ConfigError, "analyses.*.images is 41", "test", 40):
        analyse_surface(run, dataset)
    assert not run.record_path("surface").exists()
