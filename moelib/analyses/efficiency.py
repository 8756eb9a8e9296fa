"""What inference with a trained model costs: work, memory and time, beside a dense head's.

Everything that is compared was timed in one process, in alternation, under inference mode.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from moelib.analyses.analysis import analyse
from moelib.analyses.footprint import footprint
from moelib.analyses.timing import race
from moelib.analyses.trained import Trained
from moelib.analyses.work import active_parameters, counted_macs, head_macs
from moelib.heads.executors import EXECUTORS, fastest, fits
from moelib.heads.head import Mixture, build_head
from moelib.heads.routing import Routing, balanced_choices, fixed_routing, skewed_choices
from moelib.records.kinds import EfficiencyNumbers, Timed, Work
from moelib.records.record import Record
from moelib.study import heads as config
from moelib.study.analyses import Efficiency
from moelib.study.heads import Dense
from moelib.study.run import Run
from moelib.training import device
from moelib.training.data import Dataset
from moelib.training.evaluate import evaluation_mode, network_input
from moelib.training.model import Classifier, parameter_count
from moelib.training.seeding import seeded


class Routed(nn.Module):
    """A mixture whose experts are run by a named executor and, where given, by a fixed plan.

    The gate is computed in any case, so that its cost is always in.
    """

    def __init__(self, head: Mixture, executor: str, plan: Routing | None = None):
        super().__init__()
        self.head = head
        self.executor = executor
        self.plan = plan

    def forward(self, features: Tensor) -> Tensor:
        """Logits (n, c) from features (n, d)."""
        routing = self.head.gate(features)
        if self.plan is not None:
            routing = self.plan
        return self.head.experts(features, routing, self.executor)


class Case(NamedTuple):
    """Something to time, and what a record says of it."""

    call: Callable[[Tensor], Tensor]
    what: str
    executor: str | None = None
    routing: str | None = None
    compiled: bool = False


def analyse_efficiency(
    run: Run, dataset: Dataset | None = None, *, again: bool = False
) -> Record[EfficiencyNumbers]:
    """Analyse what inference costs with the trained weights; `analyse` says how and what it raises.

    Times of another machine are not stale: their record names the machine.
    """
    return analyse(run, EfficiencyNumbers, measure, dataset=dataset, again=again)


def measure(trained: Trained, sizes: Efficiency) -> EfficiencyNumbers:
    """Work, time and memory of the head and of the whole model, in evaluation mode."""
    run, model = trained.run, trained.model
    reference = reference_head(run.study.heads[run.head])
    with evaluation_mode(model):
        # Weights that are made under inference mode are faster to use than the trained ones.
        beside = _built(trained, reference)
        with torch.inference_mode():
            return EfficiencyNumbers(
                precision=trained.training.precision,
                reference_hidden=reference.hidden if isinstance(model.head, Mixture) else None,
                work=work(trained),
                chosen=_chosen(trained, sizes.batches),
                timed=tuple(_timings(trained, beside, sizes)),
                footprints=tuple(
                    footprint(
                        run.study.model_copy(update={"training": trained.training}),
                        run.head,
                        batch,
                        tuple(trained.dataset.test.images.shape[1:]),
                        len(trained.dataset.classes),
                    )
                    for batch in sizes.footprint_batches
                ),
            )


def reference_head(head: config.Head) -> config.Head:
    """What a head is timed beside: for a mixture a dense head with all its experts' hidden units.

    A head without experts is timed beside a second one like it, which shows the noise.
    """
    if not config.has_experts(head):
        return head
    return Dense(kind="dense", hidden=head.experts * head.hidden, dropout=head.dropout)


def work(trained: Trained) -> Work:
    """Parameters and multiply-accumulates for one image."""
    settings, model = trained.run.study.heads[trained.run.head], trained.model
    images = _input(trained, _stored(trained, 1))
    features = model.backbone(images).float()  # (1, d)
    needed, executed = model.head, model.head
    if isinstance(model.head, Mixture):
        needed, executed = Routed(model.head, "loop"), Routed(model.head, "auto")
    closed = head_macs(
        settings,
        features.shape[1],
        len(trained.dataset.classes),
        noise=trained.run.study.protocol.noise_at_evaluation,
    )
    return Work(
        head_parameters=parameter_count(model.head),
        active_parameters=active_parameters(settings, model.head),
        total_parameters=parameter_count(model),
        head_macs=counted_macs(needed, features),
        head_macs_closed=closed,
        executed_macs=counted_macs(executed, features),
        backbone_macs=counted_macs(model.backbone, images),
    )


def head_cases(head: nn.Module, reference: nn.Module, features: Tensor) -> list[Case]:
    """The head alone: by each executor that fits, and on each kind of routing."""
    cases = [Case(reference, "reference")]
    if not isinstance(head, Mixture):
        return [*cases, Case(head, "this head")]
    for executor in ("auto", *(name for name in EXECUTORS if fits(name, features))):
        cases.append(Case(Routed(head, executor), "this head", executor, "learned"))
    learned = head.gate(features)
    k, experts = learned.indices.shape[1], learned.gates.shape[1]
    if k < experts:
        for routing, choices in (
            ("uniform", balanced_choices(len(features), k, experts)),
            ("skewed", skewed_choices(len(features), k)),
        ):
            plan = fixed_routing(choices.to(features.device), experts)
            cases.append(Case(Routed(head, "auto", plan), "this head", "auto", routing))
    return cases


def model_cases(model: Classifier, reference: nn.Module, *, compiled: bool) -> list[Case]:
    """Backbone and head together, eager and compiled, and the backbone alone."""
    routed = ("auto", "learned") if isinstance(model.head, Mixture) else (None, None)
    cases = [
        Case(model.backbone, "backbone"),
        Case(Classifier(model.backbone, reference), "reference"),
        Case(model, "this head", *routed),
    ]
    if compiled:
        torch.compiler.reset()  # each batch is compiled for itself, and torch keeps but a few
        for call, what, executor, routing, _ in tuple(cases):
            executor = executor and "batched"  # to which the rule keeps in compiled code
            fast = torch.compile(call, dynamic=False)
            cases.append(Case(fast, what, executor, routing, compiled=True))
    return cases


def _timings(trained: Trained, reference: nn.Module, sizes: Efficiency) -> Iterator[Timed]:
    model, training = trained.model, trained.training
    panels = [(part, batch) for part in ("input", "head", "model") for batch in sizes.batches]
    for part, batch in tqdm(panels, desc="timing", unit="panel", mininterval=1):
        inputs, precision = _stored(trained, batch), nullcontext()
        if part == "input":
            cases = [Case(lambda stored: _input(trained, stored), "normalise")]
            if training.device != "cpu":
                on_host = inputs.cpu()
                cases.append(Case(lambda _, images=on_host: images.to(training.device), "copy"))
        else:
            inputs, precision = _input(trained, inputs), device.autocast(training)
            if part == "head":
                with precision:
                    inputs = model.backbone(inputs).float()  # (n, d)
                cases, precision = head_cases(model.head, reference, inputs), nullcontext()
            else:
                cases = model_cases(model, reference, compiled=batch in sizes.compiled_batches)
        with precision:
            times = race(
                [partial(case.call, inputs) for case in cases],
                sizes.repeats,
                at_least=sizes.at_least_ms,
                device=training.device,
            )
        for case, milliseconds in zip(cases, times, strict=True):
            labels = {name: value for name, value in case._asdict().items() if name != "call"}
            yield Timed(part=part, batch=batch, milliseconds=milliseconds, **labels)


def _built(trained: Trained, reference: config.Head) -> nn.Module:
    """An untrained head: what it computes does not depend on its weights."""
    study, features = trained.run.study, trained.model.backbone.features
    with seeded(0, torch.device("cpu")):
        head = build_head(reference, features, len(trained.dataset.classes), study.protocol)
    return head.eval().to(trained.training.device)


def _chosen(trained: Trained, batches: tuple[int, ...]) -> dict[str, str]:
    """The executor that `auto` stands for at each batch."""
    head = trained.model.head
    if not isinstance(head, Mixture):
        return {}
    features = {
        batch: torch.zeros(batch, trained.model.backbone.features, device=trained.training.device)
        for batch in batches
    }
    return {
        str(batch): fastest(x, head.gate(x), head.experts.weights) for batch, x in features.items()
    }


def _stored(trained: Trained, batch: int) -> Tensor:
    """Test images (n, height, width, channel), in bytes; from the first again after the last."""
    images = trained.dataset.test.images
    return images.index_select(0, torch.arange(batch, device=images.device) % len(images))


def _input(trained: Trained, stored: Tensor) -> Tensor:
    return network_input(stored, trained.dataset, trained.training.channels_last)
