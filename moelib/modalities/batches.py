"""Batches of items as tensors, and what sets of items show of a model."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from moelib.modalities.model import PLACES, Batch, Routed, VisionLanguage
from moelib.modalities.programs import ANSWERS, COUNTS, FORMS, fitting
from moelib.modalities.questions import SCENES, Items
from moelib.modalities.scenes import PICTURES, render
from moelib.records.modalities import Answers
from moelib.study.modalities import ATTRIBUTES, ModalityStudy
from moelib.study.training import Training
from moelib.training import device

EVALUATED = 500  # items of a batch
PAIRS = np.array([(0, 1), (0, 2), (1, 2)])  # places of two pictures


def batch(items: Items, on: torch.device) -> tuple[Batch, Tensor]:
    """Items as the model sees them, and their answers (n,)."""
    words = items.words[:, : (items.words > 0).any(axis=0).sum()]
    pictures = render(items.scenes)
    fits = fitting(items.programs, items.scenes)
    fits = fits.reshape(len(items), -1, fits.shape[-1])  # (n, i p, c)
    # Every pair of places is seen alike, the same for the scenes of a sentence.
    places = PAIRS[np.arange(len(items)) // SCENES % len(PAIRS)]
    assert places.shape[1] == PICTURES and places.max() < PLACES
    tensors = [torch.from_numpy(a) for a in (words.astype(np.int64), pictures, places, fits)]
    answers = torch.from_numpy(items.answers.astype(np.int64))
    return Batch(*(t.to(on) for t in tensors)), answers.to(on)


def outputs(
    model: VisionLanguage, items: Items, study: ModalityStudy, training: Training
) -> Iterator[tuple[slice, Routed, Tensor]]:
    """What the model shows of items, batch by batch, in evaluation mode, with their answers."""
    on = torch.device(training.device)
    model.eval()
    for start in range(0, len(items), EVALUATED):
        rows = slice(start, min(start + EVALUATED, len(items)))
        inputs, answers = batch(items.take(rows), on)
        with torch.no_grad(), device.autocast(training):
            routed = model.routed(inputs)
        yield rows, routed, answers


def answered(
    model: VisionLanguage, items: Items, study: ModalityStudy, training: Training
) -> tuple[Tensor, float]:
    """The model's answers (n,) to items, and the mean cross-entropy."""
    chosen, loss = [], 0.0
    for _, routed, answers in outputs(model, items, study, training):
        chosen.append(routed.logits.argmax(dim=1).cpu())
        loss += F.cross_entropy(routed.logits, answers, reduction="sum").item()
    return torch.cat(chosen), loss / len(items)


def measured(
    model: VisionLanguage, items: Items, study: ModalityStudy, training: Training
) -> Answers:
    """Accuracy, consistency and validity of the answers to the items of a split."""
    chosen, loss = answered(model, items, study, training)
    chosen = chosen.numpy()
    correct = chosen == items.answers
    kinds = answer_kinds(items)
    sentences = correct.reshape(-1, SCENES)
    return Answers(
        items=len(items),
        loss=loss,
        accuracy=float(correct.mean()),
        consistency=float(sentences.all(axis=1).mean()),
        validity=float((KIND[chosen] == kinds).mean()),
        forms={name: float(correct[rows].mean()) for name, rows in strata(items).items()},
        correct=np.packbits(correct).tobytes().hex(),
    )


def strata(items: Items) -> dict[str, np.ndarray]:
    """Rows of the items of each form of question, those of which there are any."""
    form, connected = items.programs.form, items.programs.length > 1
    truth = form == FORMS.index("truth")
    rows = {
        "statement": truth & ~connected,
        "connected": truth & connected,
        "count": form == FORMS.index("count"),
        "query": form == FORMS.index("query"),
    }
    return {name: row.nonzero()[0] for name, row in rows.items() if row.any()}


# Kinds of answers: yes or no, true or false, a number, a value of each attribute.
KIND = np.array(
    [0] * 2
    + [1] * 2
    + [2] * len(COUNTS)
    + [3 + a for a, values in enumerate(ATTRIBUTES.values()) for _ in values]
)
assert len(KIND) == len(ANSWERS)


def answer_kinds(items: Items) -> np.ndarray:
    """The kind of answer (n,) that each item asks for, as in KIND."""
    return KIND[items.answers]
