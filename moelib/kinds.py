"""The kinds of records: what each analysis writes down, field by field.

They stand apart from the code that measures them, so that frames, figures and the book can read
records without knowing how to train.
"""

import json
import statistics
from typing import ClassVar

from pydantic.json_schema import models_json_schema

from moelib.atomic import write_atomically
from moelib.config import PROJECT, Frozen
from moelib.record import VERSION, Numbers, Record


class Metrics(Frozen):
    """Loss and accuracy over a set of images, and how its experts were used."""

    loss: float  # cross-entropy, nats per image
    accuracy: float  # share of images
    gate_mass: tuple[float, ...] | None  # (e,) mean gate; null for heads without a gate
    load: tuple[float, ...] | None  # (e,) share of images that each expert is run on
    entropy: float | None  # mean over images of the gate's entropy, nats


class Epoch(Frozen):
    """One epoch; whether train metrics are of its end or running is the protocol's."""

    epoch: int  # 1, 2, ...
    learning_rate: float  # of the epoch's last step
    train: Metrics
    validation: Metrics
    balance: dict[str, float]  # weighted balance losses, mean over the steps


class TrainNumbers(Numbers):
    """What a training leaves behind."""

    kind: ClassVar[str] = "train"

    head_parameters: int
    total_parameters: int
    images: dict[str, int]  # in each split
    classes: tuple[str, ...]
    epochs: tuple[Epoch, ...]
    best_validation_epoch: int  # highest validation accuracy, the first where several are equal
    tested_epoch: int  # the one that the protocol selects
    test: Metrics
    test_correct: (
        str  # hexadecimal; bit i (most significant first) says whether test image i is right
    )
    weights: dict[str, str]  # checkpoint -> SHA-256 of its tensors


class Information(Frozen):
    """Mutual information of class and expert, in nats, against shuffled labels."""

    value: float
    bound: float  # the entropy of the classes: no gate can know more
    null_mean: float
    null_deviation: float
    null_95: float  # 95 % of the permutations lie below
    p_value: float  # (1 + permutations at or above the value) / (1 + permutations)
    permutations: int


class Usage(Frozen):
    """Use of the experts on one split, in evaluation mode."""

    images: int
    gate_mass: tuple[float, ...]  # (e,) mean gate
    load: tuple[float, ...]  # (e,) share of images that an expert is run on
    gate_mass_variation: float  # coefficient of variation over experts
    load_variation: float
    entropy: float  # nats, mean over images
    entropy_bound: float  # ln of the number of experts that one image can reach
    dead: tuple[int, ...]  # experts below the threshold of the study
    class_expert: tuple[
        tuple[float, ...] | None, ...
    ]  # (c, e) mean gate; null: no image of a class
    information: Information


class UtilizationNumbers(Numbers):
    """What the analysis of utilization leaves behind."""

    kind: ClassVar[str] = "utilization"

    epoch: int  # of the analysed weights
    train: Usage
    test: Usage
    dead_per_epoch: tuple[
        int, ...
    ]  # number of dead experts at each epoch, from the learning curves


class Case(Frozen):
    """One setting in which both ways were timed: times of each repeat, in pairs."""

    setting: dict[str, str | int]
    baseline: tuple[float, ...]
    candidate: tuple[float, ...]
    target_ratio: float | None = None  # baseline / candidate that was aimed at beforehand

    def ratios(self) -> list[float]:
        """Baseline over candidate, pair by pair: how many times faster the candidate is."""
        return [a / b for a, b in zip(self.baseline, self.candidate, strict=True)]

    def ratio_quartiles(self) -> list[float]:
        """Lower quartile, median and upper quartile of the ratios."""
        return statistics.quantiles(self.ratios(), n=4, method="inclusive")


class BenchmarkNumbers(Numbers):
    """A benchmark: what is compared, and every single time."""

    kind: ClassVar[str] = "benchmark"

    name: str
    question: str
    baseline: str  # the straightforward way
    candidate: str  # this project's way
    unit: str  # of the times
    cases: tuple[Case, ...]


KINDS = (TrainNumbers, UtilizationNumbers, BenchmarkNumbers)
SCHEMA = PROJECT / "results" / "record.schema.json"  # beside the published records


def schema() -> dict:
    """JSON schema that every record fits, whatever its kind; `python -m moelib.kinds` writes it."""
    models = [(Record[kind], "validation") for kind in KINDS]
    references, definitions = models_json_schema(models)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Records of the executable paper, version {VERSION}",
        "required": ["kind"],
        "properties": {"kind": {"enum": [kind.kind for kind in KINDS]}},
        "allOf": [
            {"if": {"properties": {"kind": {"const": kind.kind}}}, "then": references[model]}
            for kind, model in zip(KINDS, models, strict=True)
        ],
        **definitions,
    }


if __name__ == "__main__":
    write_atomically(SCHEMA, (json.dumps(schema(), indent=1) + "\n").encode())
