"""What inference costs: which ways are timed, that they compute the same, and the record."""

import copy
from collections import Counter
from contextlib import contextmanager

import pytest
import torch
from oracles import mixture_by_loops
from prose import refusal
from tiny import tiny_run, tiny_study

from moelib.analyses import analysis, efficiency
from moelib.analyses.efficiency import (
    Routed,
    analyse_efficiency,
    head_cases,
    model_cases,
    reference_head,
)
from moelib.analyses.trained import opened
from moelib.heads import executors
from moelib.heads.executors import EXECUTORS
from moelib.heads.head import build_head
from moelib.heads.routing import balanced_choices, fixed_routing, skewed_choices, top_k_routing
from moelib.records.freshness import analysis_inputs
from moelib.records.kinds import EfficiencyNumbers, Footprint, TrainNumbers
from moelib.records.record import read_record
from moelib.study import executors as rule
from moelib.study import protocol as config
from moelib.study.analyses import Analyses, Efficiency
from moelib.study.base import ConfigError
from moelib.study.heads import Dense, Sparse
from moelib.study.reader import load_study
from moelib.study.run import Run
from moelib.training.device import resolve
from moelib.training.evaluate import evaluation_mode, network_input
from moelib.training.model import Classifier
from moelib.training.train import train

pytestmark = pytest.mark.slow

IMAGES = 40  # of the test split
BATCHES = (1, 60)  # less and more than it
TINY = {"batches": BATCHES, "repeats": 6, "at_least_ms": 1e-6, "footprint_batches": ()}
MACS = 8 * 8 * 9 * (3 * 4 + 4 * 4 + 4 * 4)  # of the tiny backbone: three 3x3 convolutions


@pytest.fixture(autouse=True)
def fresh(results):
    return results


def small_run(head, dataset, training=None, protocol="corrected", **changes) -> Run:
    """A trained tiny run whose ways are timed as briefly as possible."""
    run = tiny_run(head, epochs=1, protocol=protocol, **(training or {}))
    train(run, dataset)
    analyses = Analyses(efficiency=Efficiency(**{**TINY, **changes}))
    return Run(run.study.model_copy(update={"analyses": analyses}), run.head, run.seed)


# -- the record -----------------------------------------------------------------------------------

SAME = [("learned", "auto"), *(("learned", name) for name in EXECUTORS)]
HEAD_WAYS = {  # (routing, executor) of this head alone
    "sparse": [*SAME, ("uniform", "auto"), ("skewed", "auto")],
    "switch": [*SAME, ("uniform", "auto"), ("skewed", "auto")],
    "soft": SAME,  # it selects no experts: no plan could be more skewed than any other
    "dense": [(None, None)],
}


@pytest.mark.parametrize("head", HEAD_WAYS)
def test_a_record_of_a_trained_run(dataset, head, monkeypatch):
    # d 4, h 4: n d (E - k) h is 32 for one image of the sparse head, and 1920 for sixty; reading
    # the weights of its two idle experts counts for 640 more.
    monkeypatch.setattr(rule, "SORTING", 1000)
    monkeypatch.setattr(rule, "GATHERING", 0)
    run = small_run(head, dataset)
    record = analyse_efficiency(run, dataset)
    numbers = record.numbers
    assert read_record(run.record_path("efficiency"), EfficiencyNumbers) == record
    assert record.study == run.study and (record.head, record.seed) == (head, 0)
    assert numbers.precision == "fp32"

    experts = head != "dense"
    auto = ("learned", "auto") if experts else (None, None)
    expected = Counter()
    for batch in BATCHES:
        expected["input", "normalise", None, None, batch] += 1
        expected["head", "reference", None, None, batch] += 1
        expected.update(("head", "this head", *setting, batch) for setting in HEAD_WAYS[head])
        expected["model", "backbone", None, None, batch] += 1
        expected["model", "reference", None, None, batch] += 1
        expected["model", "this head", *auto, batch] += 1
    assert expected == Counter(
        (t.part, t.what, t.routing, t.executor, t.batch) for t in numbers.timed
    )
    assert {len(timed.milliseconds) for timed in numbers.timed} == {6}
    assert all(ms > 0 for timed in numbers.timed for ms in timed.milliseconds)
    assert not any(timed.compiled for timed in numbers.timed)

    expected = {}
    with opened(run, "choice", dataset) as opening:
        model = opening.model.eval()
        for batch in BATCHES if experts else ():
            features = torch.randn(batch, model.backbone.features)
            plan = model.head.gate(features)
            expected[str(batch)] = executors.fastest(features, plan, model.head.experts.weights)
    assert numbers.chosen == expected
    if head == "sparse":
        assert expected == {"1": "batched", "60": "grouped"}  # so that a wrong batch would be seen
    assert numbers.footprints == ()  # none was asked for: each takes a process seconds

    trained = read_record(run.record_path("train"), TrainNumbers)
    sizes = run.study.analyses.efficiency
    assert record.inputs == analysis_inputs(
        trained, "efficiency", sizes, dataset.digest, exact=False
    )
    assert numbers.work.head_parameters == trained.numbers.head_parameters
    assert numbers.work.total_parameters == trained.numbers.total_parameters


@pytest.mark.parametrize(
    ("head", "needed", "executed", "idle"),
    # d 4, c 4: an expert of 4 hidden units takes 4 * 4 + 4 * 4 + 4 = 36, a gate 4 * 4 = 16; idle
    # experts have 16 + 4 + 16 + 4 = 40 parameters each.
    [
        ("linear", 16, 16, 0),
        ("dense", 64, 64, 0),  # 8 hidden units
        ("soft", 16 + 4 * 36, 16 + 4 * 36, 0),
        ("sparse", 16 + 2 * 36, 16 + 4 * 36, 2 * 40),
        ("switch", 16 + 36, 16 + 4 * 36, 3 * 40),
        ("uniform", 4 * 36, 4 * 36, 0),
        ("frozen", 16 + 2 * 36, 16 + 4 * 36, 2 * 40),
    ],
)
def test_work_by_hand(dataset, head, needed, executed, idle):
    """For one image `batched` is chosen, which runs all experts."""
    run = small_run(head, dataset)
    with opened(run, "work", dataset) as trained, evaluation_mode(trained.model):
        work = efficiency.work(trained)
    assert (work.head_macs, work.head_macs_closed, work.executed_macs) == (needed, needed, executed)
    assert work.backbone_macs == MACS
    assert work.active_parameters == work.head_parameters - idle
    backbone = 9 * (3 * 4 + 4 * 4 + 4 * 4) + 3 * 2 * 4  # convolutions, and norms of two vectors
    assert work.total_parameters == backbone + work.head_parameters


def test_the_model_is_left_as_it_was(dataset, monkeypatch):
    """Weights, averages of its norms, the mode of each module, gradients."""
    run = small_run("sparse", dataset)
    log = []

    @contextmanager
    def reopened(*arguments, **options):
        with opened(*arguments, **options) as trained:
            model = trained.model
            model.backbone.stem.eval()  # a mixed mode, which no single switch restores
            log.append((copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]))
            yield trained
            log.append((model.state_dict(), [m.training for m in model.modules()]))
            assert all(p.grad is None and p.requires_grad for p in model.parameters())

    monkeypatch.setattr(analysis, "opened", reopened)
    files = {path: path.read_bytes() for path in run.folder.glob("*.safetensors")}
    analyse_efficiency(run, dataset)
    (weights, modes), (weights_after, modes_after) = log
    assert modes_after == modes and True in modes and False in modes
    assert all(torch.equal(weights_after[name], tensor) for name, tensor in weights.items())
    assert files and all(path.read_bytes() == kept for path, kept in files.items())


def test_memory_is_measured_of_this_model_in_its_resolved_format(dataset, monkeypatch):
    calls = []

    def footprint(study, head, batch, shape, classes):
        calls.append((head, batch, shape, classes))
        assert study.backbone == run.study.backbone and study.heads == run.study.heads
        assert study.training == resolve(run.study.training) != run.study.training
        return Footprint(batch=batch, weights_mib=1.0, peak_mib=2.0)

    monkeypatch.setattr(efficiency, "footprint", footprint)
    auto = {"precision": "auto", "channels_last": "auto", "compile": "auto"}
    run = small_run("linear", dataset, training=auto, footprint_batches=(3, 100))
    numbers = analyse_efficiency(run, dataset).numbers
    assert calls == [("linear", 3, (8, 8, 3), 4), ("linear", 100, (8, 8, 3), 4)]
    assert [footprint.batch for footprint in numbers.footprints] == [3, 100]


@pytest.mark.parametrize(
    ("sizes", "key", "rule"),
    [
        ("batches: [8, 0]", "batches.1' = 0", "greater than 0"),
        ("batches: []", "batches'", "empty"),
        ("batches: [1.5]", "batches.0' = 1.5", "integer"),
        ("repeats: 4", "repeats' = 4", "or equal to 6"),
        ("at_least_ms: 0.0", "at_least_ms' = 0.0", "greater than 0"),
        ("footprint_batches: [0]", "footprint_batches.0' = 0", "greater than 0"),
    ],
)
def test_impossible_sizes_are_refused_by_name(tmp_path, sizes, key, rule):
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: quick\nanalyses: {{efficiency: {{{sizes}}}}}\n")
    with refusal(ConfigError, "mine.yaml", f"'analyses.efficiency.{key}", rule):
        load_study(path)


# -- what is timed --------------------------------------------------------------------------------


@pytest.fixture
def panels(monkeypatch):
    """What each panel's ways return, in their order; nothing is timed."""
    panels = []

    def race(cases, repeats, *, at_least, device):
        assert torch.is_inference_mode_enabled()
        assert (repeats, at_least, device) == (6, 1e-6, "cpu")
        panels.append([case() for case in cases])
        return [(1.0,) * repeats] * len(cases)

    monkeypatch.setattr(efficiency, "race", race)
    return panels


@pytest.mark.parametrize("head", ["sparse", "soft", "dense"])
def test_a_batch_beyond_the_test_split_starts_over_with_its_first_images(dataset, head, panels):
    run = small_run(head, dataset)
    numbers = analyse_efficiency(run, dataset).numbers
    assert len(panels) == 3 * len(BATCHES)
    assert sum(map(len, panels)) == len(numbers.timed)
    stored = dataset.test.images[torch.arange(60) % IMAGES]
    (images,) = panels[1]
    assert torch.equal(images, network_input(stored, dataset, True))
    assert torch.equal(panels[0][0], images[:1])
    with opened(run, "logits", dataset) as trained, torch.inference_mode():
        model = trained.model.eval()
        features, logits = model.backbone(images), model(images)
    backbone, reference, whole = panels[5]
    torch.testing.assert_close(backbone, features)
    torch.testing.assert_close(whole, logits)
    assert torch.equal(whole[IMAGES:], whole[:20])
    assert reference.shape == whole.shape and not torch.allclose(reference, whole)
    # The head alone, on the features of these images: learned routing by each executor.
    alone = [t for t in numbers.timed if (t.part, t.batch) == ("head", 60)]
    for timed, output in zip(alone, panels[3], strict=True):
        if timed.what == "this head" and timed.routing in ("learned", None):
            torch.testing.assert_close(output, logits)
        else:
            assert not torch.allclose(output, logits)


@pytest.mark.parametrize("head", ["sparse", "dense"])
def test_no_way_has_weights_that_were_made_under_inference_mode(dataset, head, monkeypatch):
    """They are faster to use: what has them would not be timed beside its like."""
    modules = []

    def race(cases, repeats, **_):
        modules.extend(case.func for case in cases if isinstance(case.func, torch.nn.Module))
        return [(1.0,) * repeats] * len(cases)

    monkeypatch.setattr(efficiency, "race", race)
    analyse_efficiency(small_run(head, dataset), dataset)
    of_heads = len(HEAD_WAYS[head]) + 1  # and backbone, reference and this head of whole models
    assert len(modules) == len(BATCHES) * (of_heads + 3)
    assert not any(p.is_inference() for module in modules for p in module.parameters())


def test_under_bfloat16_the_backbone_is_narrow_and_heads_are_not(dataset, panels):
    run = small_run("sparse", dataset, training={"precision": "bf16"})
    assert analyse_efficiency(run, dataset).numbers.precision == "bf16"
    _, (images,), _, head, _, (backbone, reference, whole) = panels
    assert (images.dtype, backbone.dtype) == (torch.float32, torch.bfloat16)
    assert {logits.dtype for logits in (reference, whole, *head)} == {torch.float32}


def test_compiled_ways_stand_beside_the_eager_ones_at_the_batches_asked_for(
    dataset, panels, monkeypatch
):
    """The compiler itself is replaced: it takes minutes, and is not what is tested."""
    compiled = []

    def compile(model, *, dynamic):
        assert dynamic is False  # one size, as it is timed
        compiled.append(model)
        return model

    monkeypatch.setattr(torch, "compile", compile)
    run = small_run("sparse", dataset, compiled_batches=(60,))
    numbers = analyse_efficiency(run, dataset).numbers
    models = [t for t in numbers.timed if t.part == "model"]
    eager = ["backbone", "reference", "this head"]
    assert [t.what for t in models if t.batch == 1] == eager
    assert [(t.what, t.compiled) for t in models if t.batch == 60] == [
        (what, flag) for flag in (False, True) for what in eager
    ]
    assert len(compiled) == 3 and isinstance(compiled[2], Classifier)
    assert all(torch.equal(a, b) for a, b in zip(panels[5][:3], panels[5][3:], strict=True))


def test_a_noisy_gate_is_timed_as_its_protocol_evaluates_it(dataset):
    """As run, noise is drawn in evaluation too; ways then differ, and the record has them all."""
    run = small_run("sparse", dataset, protocol="as-run")
    numbers = analyse_efficiency(run, dataset).numbers
    assert len([t for t in numbers.timed if t.part == "head"]) == 2 * (1 + 4 + 2)
    assert numbers.work.head_macs == numbers.work.head_macs_closed  # the noise's own d E in both


# -- ways -----------------------------------------------------------------------------------------

D, C, N = 7, 5, 24


def mixture(experts=6, hidden=3, **changes):
    torch.manual_seed(0)
    settings = Sparse(kind="sparse", experts=experts, hidden=hidden, **changes)
    return build_head(settings, D, C, config.PROTOCOLS["corrected"]).eval()


def wide(head, features, plan):
    """The double loop in float64, on a plan."""
    weights = executors.Weights(*(w.double() for w in head.experts.weights))
    return mixture_by_loops(features.double(), plan, weights)


@pytest.mark.parametrize("executor", ["auto", *EXECUTORS])
@pytest.mark.parametrize(
    "plan",
    [
        None,
        fixed_routing(balanced_choices(N, 2, 6), 6),
        fixed_routing(skewed_choices(N, 3), 6),
        top_k_routing(torch.randn(N, 6, generator=torch.Generator().manual_seed(1)), 4),
    ],
    ids=["its own", "balanced", "skewed", "another gate's"],
)
def test_a_routed_head_follows_the_plan_by_every_executor(executor, plan):
    head, features = mixture(), torch.randn(N, D)
    calls = []
    head.gate.register_forward_hook(lambda *_: calls.append(0))
    with torch.no_grad():
        logits = Routed(head, executor, plan)(features)
        assert len(calls) == 1  # its cost is in, also where its plan is not wanted
        expected = wide(head, features, plan or head.gate(features))
    # Sums of some ten products in float32.
    torch.testing.assert_close(logits.double(), expected, rtol=1e-5, atol=1e-5)


def test_the_head_alone_is_run_by_each_executor_and_on_each_kind_of_routing():
    head, reference, features = mixture(k=2), torch.nn.Linear(D, C), torch.randn(N, D)
    with torch.no_grad():
        cases = head_cases(head, reference, features)
        assert cases[0].call is reference and cases[0][1:] == ("reference", None, None, False)
        assert not any(case.compiled for case in cases)
        loads = {}
        for case in cases[1:]:
            plan = case.call.plan or head.gate(features)
            loads[case.routing] = plan.indices.flatten().bincount(minlength=6).tolist()
            expected = wide(head, features, plan)
            torch.testing.assert_close(case.call(features).double(), expected, rtol=1e-5, atol=1e-5)
    assert loads["uniform"] == [N * 2 // 6] * 6
    assert loads["skewed"] == [N, N, 0, 0, 0, 0]
    assert loads["learned"] not in (loads["uniform"], loads["skewed"])


@pytest.mark.parametrize(
    ("k", "routings"), [(6, {"learned"}), (5, {"learned", "uniform", "skewed"})]
)
def test_only_a_head_that_leaves_experts_out_has_other_routings(k, routings):
    cases = head_cases(mixture(k=k), torch.nn.Linear(D, C), torch.randn(N, D))
    assert {case.routing for case in cases[1:]} == routings


def test_an_executor_that_torch_lacks_for_a_dtype_is_left_out():
    features = torch.randn(N, D, dtype=torch.float64)
    cases = head_cases(mixture().double(), torch.nn.Linear(D, C).double(), features)
    learned = [case.executor for case in cases if case.routing == "learned"]
    assert learned == ["auto", "batched", "loop"]
    assert [executors.fits(name, features) for name in EXECUTORS] == [True, True, False]
    assert all(executors.fits(name, features.bfloat16()) for name in EXECUTORS)


def test_the_whole_model_is_timed_beside_a_backbone_and_the_same_backbone_with_another_head():
    backbone, head = torch.nn.Linear(9, D), mixture()
    model, reference = (
        Classifier(backbone, head),
        build_head(Dense(kind="dense", hidden=4), D, C, config.PROTOCOLS["corrected"]).eval(),
    )
    images = torch.randn(N, 9)
    with torch.no_grad():
        bare, baseline, whole = (
            case.call(images) for case in model_cases(model, reference, compiled=False)
        )
        assert torch.equal(bare, backbone(images))
        assert torch.equal(baseline, reference(bare))
        assert torch.equal(whole, head(bare))


def test_the_reference_of_a_mixture_is_dense_with_the_hidden_units_of_all_its_experts():
    heads = tiny_study().heads
    for name in ("soft", "sparse", "switch", "uniform", "frozen"):
        reference = reference_head(heads[name])
        assert reference == Dense(kind="dense", hidden=4 * 4, dropout=heads[name].dropout)
        # Of its layers, the first has exactly as many weights as those of the experts together.
        experts = build_head(heads[name], D, C, config.PROTOCOLS["corrected"]).experts
        built = build_head(reference, D, C, config.PROTOCOLS["corrected"])
        assert built.hidden.weight.numel() == experts.w_in.numel()
        assert built.output.weight.numel() == experts.w_out.numel()
    for name in ("linear", "dense"):
        assert reference_head(heads[name]) == heads[name]


def test_the_record_says_how_wide_the_reference_is(dataset, panels):
    numbers = analyse_efficiency(small_run("sparse", dataset), dataset).numbers
    assert numbers.reference_hidden == 16
    for name in ("dense", "linear"):
        numbers = analyse_efficiency(small_run(name, dataset), dataset).numbers
        assert numbers.reference_hidden is None
