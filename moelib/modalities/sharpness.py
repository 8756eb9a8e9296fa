"""How sharp the minimum of a run is: curvature of its cross-entropy on train and test items."""

import torch
from torch import Tensor, nn

from moelib.curvature.lanczos import spectrum
from moelib.curvature.objective import Objective
from moelib.curvature.trace import trace
from moelib.modalities import batches, splits
from moelib.modalities.analysis import analyse
from moelib.modalities.model import Batch, VisionLanguage
from moelib.modalities.questions import Items
from moelib.records.modalities import ModalityCurvature, ModalitySharpnessNumbers
from moelib.records.record import Record
from moelib.study.modalities import ModalityRun
from moelib.training.seeding import seeded

MICRO_BATCH = 100  # items
EIGENVALUES = 3
RESIDUAL, KRYLOV = 0.02, 40  # of each eigenpair, relative; products at most
TRACE_ERROR, TRACE_PRODUCTS = 0.05, 30  # standard error, relative; products at most


class OfItems(nn.Module):
    """A model as a function of the numbers (n,) of fixed items."""

    def __init__(self, model: VisionLanguage, batch: Batch):
        super().__init__()
        self.model, self.batch = model, batch

    def forward(self, numbers: Tensor) -> Tensor:
        """Logits (n, a)."""
        return self.model(Batch(*(part[numbers] for part in self.batch)))


def analyse_sharpness(run: ModalityRun, *, again: bool = False) -> Record[ModalitySharpnessNumbers]:
    """Analyse the weights of a finished run, in float32; `analyse` says how.

    Raises:
        CurvatureError: the loss is not finite.
    """
    items = run.study.curvature_items
    return analyse(run, ModalitySharpnessNumbers, measure, items=items, again=again)


def measure(run: ModalityRun, model: VisionLanguage) -> ModalitySharpnessNumbers:
    """Largest eigenvalues and trace of the Hessian, on items of epoch 1 and of two tests."""
    count = run.study.curvature_items
    sources = {
        "train": splits.training(run.study, run.seed, 1),
        "iid": splits.held_out(run.study, "iid"),
        "compositions": splits.held_out(run.study, "compositions"),
    }
    on = torch.device(run.study.training.device)
    curvatures = {}
    for name, items in sources.items():
        print(f"{name}: {count} items")
        seed = run.stream(f"sharpness/{name}")
        with seeded(seed, on):
            curvatures[name] = _curvature(run, model, items.take(slice(count)), seed)
    return ModalitySharpnessNumbers(
        study=run.study, parameters=sum(p.numel() for p in model.parameters()), splits=curvatures
    )


def _curvature(
    run: ModalityRun, model: VisionLanguage, items: Items, seed: int
) -> ModalityCurvature:
    on = torch.device(run.study.training.device)
    inputs, answers = batches.batch(items, on)
    numbers = torch.arange(len(items), device=on)
    objective = Objective(
        OfItems(model.eval(), inputs), numbers, answers, batch=min(MICRO_BATCH, len(items))
    )
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(objective.size, generator=generator).to(objective.weights)
    spectral = spectrum(objective.hessian, start, EIGENVALUES, residual=RESIDUAL, budget=KRYLOV)
    total, _ = trace(
        objective.hessian,
        objective.size,
        error=TRACE_ERROR,
        budget=TRACE_PRODUCTS,
        generator=generator,
        krylov=spectral.krylov,
    )
    logits = objective.logits()
    return ModalityCurvature(
        items=len(items),
        loss=objective.value(),
        accuracy=(logits.argmax(dim=1) == answers).double().mean().item(),
        eigenvalues=spectral.eigenvalues.largest,
        residuals=spectral.eigenvalues.residuals,
        converged=spectral.eigenvalues.converged,
        trace=total.value,
        trace_error=total.standard_error,
    )
