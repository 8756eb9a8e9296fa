"""What each expert gets to see: real images, by how sure the gate was of sending them there."""

import base64
import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from moelib.analyses.analysis import analyse
from moelib.analyses.trained import Trained
from moelib.heads.routing import Routing
from moelib.records.kinds import GalleryNumbers, Picture
from moelib.records.record import Record
from moelib.study.analyses import Gallery
from moelib.study.base import ConfigError
from moelib.study.heads import chooses
from moelib.study.run import Run
from moelib.training.data import Dataset, Split
from moelib.training.evaluate import predict
from moelib.training.seeding import seeded

QUALITY = 85  # of JPEG; its blocks of 8 x 8 pixels lie within one image of 8 or 32
DECIMALS = 4  # of logits and shares


def analyse_gallery(
    run: Run, dataset: Dataset | None = None, *, again: bool = False
) -> Record[GalleryNumbers]:
    """Analyse the weights of a finished run that its protocol selects; `analyse` says how.

    Routing is looked at in float32 and without noise, whatever the protocol does in evaluation.

    Raises:
        ConfigError: the head makes no choice among experts, or as `analyse` does.
    """
    if not chooses(run.study.heads[run.head]):
        raise ConfigError(
            f"The head '{run.head}' makes no choice among experts: there is nothing to look at."
        )
    return analyse(run, GalleryNumbers, measure, exact=True, dataset=dataset, again=again)


def measure(trained: Trained, sizes: Gallery) -> GalleryNumbers:
    """Choose test images of each expert, and keep what its gate computed of them.

    An image belongs to its first choice, the expert of the largest ranked logit. How sure the gate
    is of it is that expert's share of the softmax over all experts' clean logits.
    """
    dataset, gate = trained.dataset, trained.model.head.gate
    features: list[Tensor] = []  # (n, d) of each batch, as the gate gets them
    hook = gate.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    logits, routing = _passed(trained, dataset.test)
    noisy = _with_noise(trained, torch.cat(features))
    features.clear()
    watched = dataset.validation.take(torch.arange(_watched(trained), device=logits.device))
    watched_logits, watched_routing = _passed(trained, watched)
    hook.remove()

    probability = logits.double().softmax(dim=1)  # (n, c)
    predicted, labels = logits.argmax(dim=1), dataset.test.labels  # (n,)
    first = routing.ranked.argmax(dim=1)  # (n,)
    experts = routing.gates.shape[1]
    sure = _of_first(routing.logits.double().softmax(dim=1), first)
    confidence = probability.max(dim=1).values
    wrong = predicted != labels
    groups = {
        "certain": (sure, first >= 0),
        "uncertain": (-sure, first >= 0),
        "wrong": (confidence, wrong),
    }
    chosen = {
        name: [_highest(score, (first == e) & among, sizes.images) for e in range(experts)]
        for name, (score, among) in groups.items()
    }
    shown = list(dict.fromkeys(i for lists in chosen.values() for one in lists for i in one))
    index = torch.tensor(shown, dtype=torch.int64, device=labels.device)
    place = {image: position for position, image in enumerate(shown)}
    pictures = _pictures(
        "test", shown, dataset.test.take(index), logits[index], _at(routing, index)
    )
    beside = _pictures("validation", range(len(watched)), watched, watched_logits, watched_routing)
    if noisy is not None:
        deviations = noisy.noise_std[index].tolist()
        pictures = [
            picture.model_copy(update={"noise": _rounded(row)})
            for picture, row in zip(pictures, deviations, strict=True)
        ]
    bias = getattr(gate, "selection_bias", None)
    return GalleryNumbers(
        epoch=trained.record.numbers.tested_epoch,
        images=len(dataset.test),
        classes=dataset.classes,
        k=routing.indices.shape[1],
        temperature=gate.temperature,
        bias=None if bias is None else _rounded(bias.tolist()),
        class_expert=_counts(labels, first, len(dataset.classes), experts),
        moved_by_noise=None
        if noisy is None
        else (noisy.ranked.argmax(dim=1) != first).double().mean().item(),
        size=tuple(dataset.test.images.shape[1:3]),
        sprite=sprite(torch.cat([dataset.test.images[index], watched.images])),
        pictures=(*pictures, *beside),
        watched=tuple(range(len(shown), len(shown) + len(watched))),
        **{
            name: tuple(tuple(place[i] for i in one) for one in lists)
            for name, lists in chosen.items()
        },
    )


def sprite(images: Tensor) -> str:
    """Images, uint8 (n, height, width, channel), below each other as one JPEG, in base64."""
    column = images.cpu().numpy().reshape(-1, *images.shape[2:])  # (n * height, width, channel)
    pixels = np.repeat(column, 3, axis=2) if column.shape[2] == 1 else column
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "JPEG", quality=QUALITY, subsampling=0)
    return base64.b64encode(packed.getvalue()).decode()


def _passed(trained: Trained, split: Split) -> tuple[Tensor, Routing]:
    layout = trained.training.channels_last
    return predict(trained.model, split, trained.dataset, channels_last=layout)


def _with_noise(trained: Trained, features: Tensor) -> Routing | None:
    """Route features (n, d) once more, with the noise of training; None for gates without noise."""
    gate = trained.model.head.gate
    if not hasattr(gate, "noise_at_evaluation"):
        return None
    stream = trained.run.stream(f"{trained.run.head}/gallery")
    gate.noise_at_evaluation = True
    try:
        with seeded(stream, features.device), torch.inference_mode():
            return gate.eval()(features)
    finally:
        gate.noise_at_evaluation = False


def _watched(trained: Trained) -> int:
    """How many validation images the training kept the gates of, at each epoch."""
    return len(trained.record.numbers.epochs[0].watched or ())


def _highest(score: Tensor, among: Tensor, count: int) -> list[int]:
    """Indices of the highest scores (n,) where `among` (n,) is true, at most `count`."""
    candidates = among.nonzero().flatten()
    order = score[candidates].argsort(descending=True, stable=True)
    return candidates[order[:count]].tolist()


def _pictures(name: str, indices, split: Split, logits: Tensor, routing: Routing) -> list[Picture]:
    return [
        Picture(
            split=name,
            index=index,
            label=label,
            predicted=max(range(len(shares)), key=shares.__getitem__),
            probability=round(max(shares), DECIMALS),
            logits=_rounded(row),
            noise=None,
        )
        for index, label, shares, row in zip(
            indices,
            split.labels.tolist(),
            logits.double().softmax(dim=1).tolist(),
            routing.logits.tolist(),
            strict=True,
        )
    ]


def _at(routing: Routing, index: Tensor) -> Routing:
    return Routing(*(None if field is None else field[index] for field in routing))


def _of_first(shares: Tensor, first: Tensor) -> Tensor:
    return shares.gather(1, first[:, None]).flatten()


def _counts(labels: Tensor, first: Tensor, classes: int, experts: int):
    pairs = (labels * experts + first).bincount(minlength=classes * experts)
    return tuple(map(tuple, pairs.view(classes, experts).tolist()))


def _rounded(values: list[float]) -> tuple[float, ...]:
    return tuple(round(value, DECIMALS) for value in values)
