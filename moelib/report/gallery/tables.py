"""Real images and where a gate sends them, as frames and arrays."""

import numpy as np
import pandas as pd

from moelib.records.kinds import GalleryNumbers, TrainNumbers
from moelib.records.record import Record

Gallery = Record[GalleryNumbers]


def class_shares(record: Gallery) -> np.ndarray:
    """How the test images of each class are divided among first choices, (c, e)."""
    counts = np.array(record.numbers.class_expert)
    return counts / counts.sum(axis=1, keepdims=True).clip(min=1)


def pairings(record: Gallery) -> pd.DataFrame:
    """One row per class: its most frequent first choice, and that one's share of its images."""
    shares = class_shares(record)
    columns = {"expert": shares.argmax(axis=1), "share": shares.max(axis=1)}
    return pd.DataFrame({"class": record.numbers.classes, **columns})


def surest(record: Gallery) -> pd.Series:
    """By expert of two or more surest images: their class, None if they are of several."""
    numbers = record.numbers
    classes = {
        expert: {numbers.classes[numbers.pictures[place].label] for place in places}
        for expert, places in enumerate(numbers.certain)
        if len(places) > 1
    }
    alone = {expert: own.pop() if len(own) == 1 else None for expert, own in classes.items()}
    return pd.Series(alone, dtype=object)


def pictures(record: Gallery) -> pd.DataFrame:
    """One row per image: which one it is, what the net made of it, and the gate's logits."""
    return pd.DataFrame(
        picture.model_dump(exclude={"logits", "noise"})
        | {f"logit_{e}": logit for e, logit in enumerate(picture.logits)}
        for picture in record.numbers.pictures
    )


def first_choices(trained: Record[TrainNumbers]) -> pd.DataFrame:
    """The expert of the largest gate of each watched image, a row per epoch."""
    epochs = trained.numbers.epochs
    index = pd.Index([epoch.epoch for epoch in epochs], name="epoch")
    return pd.DataFrame([epoch.watched for epoch in epochs], index)


def gate(record: Gallery, place: int) -> np.ndarray:
    """The gate of one image (e,): a softmax over the k experts of the largest ranked logits."""
    numbers = record.numbers
    logits = np.array(numbers.pictures[place].logits)
    ranked = logits + (numbers.bias or 0)
    top = np.argsort(-ranked, kind="stable")[: numbers.k]
    gate = np.zeros_like(logits)
    gate[top] = np.exp(logits[top] - logits[top].max())
    return gate / gate.sum()
