"""Splits that hold out one thing each, by construction; the mix of questions follows from it.

| split          | pairs of shape and colour | programs            | objects |
| train, validation, iid | seen              | seen compositions   | few     |
| pairs          | each names a held-out one | seen compositions   | few     |
| compositions   | seen                      | each a held-out one | few     |
| depth          | seen                      | three predicates    | few     |
| objects        | seen                      | seen compositions   | more    |
"""

import hashlib

import numpy as np

from moelib.modalities import questions
from moelib.modalities.questions import Items, Kind
from moelib.modalities.scenes import held_pairs
from moelib.study.modalities import ModalityStudy

TESTS = ("iid", "pairs", "compositions", "depth", "objects")
TRUTHS = {"statement": 1, "connected": 2}  # predicates


def kind(split: str, study: ModalityStudy) -> Kind:
    """What the questions of a split are drawn from."""
    pairs = held_pairs(study.held_out)
    seen = Kind(study.scenes.objects, pairs, [], TRUTHS, composed=False)
    match split:
        case "train" | "validation" | "iid":
            return seen
        case "pairs":
            return seen._replace(avoid=[], include=pairs)
        case "compositions":
            return seen._replace(composed=True)
        case "depth":
            return seen._replace(predicates={"connected": 3})
        case "objects":
            return seen._replace(objects=study.scenes.more_objects)
    raise ValueError(f"There is no split '{split}'.")


def held_out(study: ModalityStudy, split: str) -> Items:
    """Validation or one split of the test: the same items for every run of a study."""
    count = study.sizes.validation if split == "validation" else study.sizes.test
    rng = np.random.default_rng(_seed(study.data_seed, split))
    return questions.draw(rng, count, kind(split, study), study)


def training(study: ModalityStudy, seed: int, epoch: int) -> Items:
    """The new training items of an epoch, from 1: the same for every arm of a seed."""
    rng = np.random.default_rng(_seed(seed, f"train/{epoch}"))
    return questions.draw(rng, study.sizes.train, kind("train", study), study)


def _seed(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/items/{name}".encode()).digest()[:8], "little")
