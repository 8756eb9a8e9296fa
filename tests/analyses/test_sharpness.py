"""The analysis of sharpness, from a trained run to its record."""

import copy

import pytest
import torch
from prose import refusal
from tiny import tiny_dataset, tiny_run

from moelib.analyses.sharpness import analyse_sharpness
from moelib.analyses.trained import subset
from moelib.records.freshness import analysis_inputs
from moelib.records.kinds import SharpnessNumbers
from moelib.records.record import read_record
from moelib.study.analyses import Sharpness
from moelib.study.base import ConfigError
from moelib.study.run import Run
from moelib.training.evaluate import network_input
from moelib.training.model import build_model
from moelib.training.train import load_weights, train

pytestmark = pytest.mark.slow

SIZES = Sharpness(
    images=24,
    eigenvalues=3,
    residual=1e-3,
    krylov=80,
    trace_error=0.1,
    trace_products=40,
    density_probes=2,
    density_steps=15,
    average_draws=4,
    worst_steps=4,
    matched_loss=1.3,
)


@pytest.fixture(autouse=True)
def fresh(results):
    return results


def sized(run: Run, sizes: Sharpness | None = SIZES) -> Run:
    analyses = run.study.analyses.model_copy(update={"sharpness": sizes})
    return Run(run.study.model_copy(update={"analyses": analyses}), run.head, run.seed)


def analysed(head: str, **changes):
    run, dataset = sized(tiny_run(head, **changes)), tiny_dataset()
    return run, dataset, train(run, dataset), analyse_sharpness(run, dataset)


def naive_hessian(run, dataset, trained, name):
    """The Hessian of the trained model's mean loss, formed in full, in float64."""
    model = build_model(run, dataset)
    load_weights(run, model, trained, run.study.protocol.checkpoint)
    model = copy.deepcopy(model).eval().double()
    split = subset(dataset, name, SIZES.images, run.study.data.split_seed)
    images = network_input(split.images, dataset, True).double()
    parameters = dict(model.named_parameters())
    weights = torch.cat([p.detach().flatten() for p in parameters.values()]).requires_grad_()
    parts = weights.split([p.numel() for p in parameters.values()])
    state = {n: part.view(p.shape) for (n, p), part in zip(parameters.items(), parts, strict=True)}
    logits = torch.func.functional_call(model, state, (images,))
    loss = torch.nn.functional.cross_entropy(logits, split.labels)
    (gradient,) = torch.autograd.grad(loss, weights, create_graph=True)
    rows = [torch.autograd.grad(g, weights, retain_graph=True)[0] for g in gradient]
    return torch.stack(rows), weights.detach()


@pytest.mark.parametrize("head", ["dense", "sparse"])
def test_numbers_are_those_of_the_full_hessian(head):
    run, dataset, trained, record = analysed(head)
    for name in ("train", "test"):
        curvature = getattr(record.numbers, name)
        hessian, weights = naive_hessian(run, dataset, trained, name)
        exact = torch.linalg.eigvalsh(hessian)
        # A residual of 1e-3 of the largest eigenvalue, and float32 beside float64.
        tolerance = 2e-3 * exact.abs().max().item()
        assert curvature.eigenvalues.converged
        largest = exact.flip(0)[:3].tolist()
        assert curvature.eigenvalues.largest == pytest.approx(largest, abs=tolerance)
        assert curvature.eigenvalues.lowest == pytest.approx(exact[0].item(), abs=tolerance)
        scaled = weights.abs()[:, None] * hessian * weights.abs()
        adaptive = torch.linalg.eigvalsh(scaled)[-1].item()
        assert curvature.adaptive.largest[0] == pytest.approx(adaptive, rel=5e-3)
        for estimate, matrix in ((curvature.trace, hessian), (curvature.adaptive_trace, scaled)):
            error = abs(estimate.value - matrix.trace().item())
            assert error <= 4 * estimate.standard_error + 1e-4 * abs(estimate.value)
        assert curvature.images == 24 and curvature.matched.loss == pytest.approx(1.3, rel=1e-4)
    assert record.numbers.parameters == len(weights)
    assert record.numbers.weight_norm == pytest.approx(weights.norm().item())


def test_groups_add_up():
    _, _, _, record = analysed("sparse")
    for curvature in (record.numbers.train, record.numbers.test):
        traces = {name: group.trace.value for name, group in curvature.groups.items()}
        total = pytest.approx(curvature.trace.value, rel=1e-4)
        assert traces["backbone"] + traces["head"] == total
        assert traces["backbone"] + traces["gate"] + traces["experts"] == total
        assert sum(traces[f"expert {e}"] for e in range(4)) == pytest.approx(
            traces["experts"], rel=1e-4
        )


def test_the_record_is_written_and_repeats():
    run, dataset, trained, record = analysed("soft")
    path = run.record_path("sharpness")
    assert read_record(path, SharpnessNumbers) == record
    sizes = run.study.analyses.sharpness
    exact, coarse = (
        analysis_inputs(trained, "sharpness", sizes, dataset.digest, exact=e) for e in (True, False)
    )
    assert record.inputs == exact != coarse
    assert analyse_sharpness(run, dataset, again=True).digest == record.digest


def test_all_heads_are_measured_on_the_same_images():
    records = [analysed(head)[3] for head in ("linear", "switch")]
    assert all(record.numbers.epoch == 3 for record in records)
    dataset = tiny_dataset()
    first, repeated = (subset(dataset, "test", 24, 42) for _ in range(2))
    assert torch.equal(first.images, repeated.images)


def test_gate_noise_is_taken_out_and_that_is_said():
    _, _, _, record = analysed("sparse", protocol="as-run")
    assert record.numbers.gate_noise_removed
    assert record.study.protocol.noise_at_evaluation
    assert not analysed("sparse")[3].numbers.gate_noise_removed


def test_unreachable_loss_is_null():
    run, dataset = tiny_run("dense"), tiny_dataset()
    train(run, dataset)
    run = sized(run, SIZES.model_copy(update={"matched_loss": 5.0}))
    assert analyse_sharpness(run, dataset).numbers.train.matched is None


def test_refusals():
    run, dataset = sized(tiny_run("dense")), tiny_dataset()
    train(run, dataset)
    with refusal(ConfigError, "analyses.*.images is 41", "test", 40):
        analyse_sharpness(sized(run, SIZES.model_copy(update={"images": 41})), dataset)
    with refusal(ConfigError, "analyses.sharpness", "null"):
        analyse_sharpness(sized(run, None), dataset)
