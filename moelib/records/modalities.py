"""The kinds of records of the studies of modalities."""

from typing import ClassVar

from moelib.records.record import Numbers
from moelib.study.base import Frozen
from moelib.study.modalities import ModalityStudy


class Answers(Frozen):
    """Answers to the items of one split."""

    items: int
    loss: float  # cross-entropy, nats per item
    accuracy: float  # share of items
    consistency: float  # share of sentences right with all four of their scenes (as NLVR2's)
    validity: float  # share of answers of the kind that is asked for (as GQA's)
    forms: dict[str, float]  # accuracy by form of question
    correct: str  # hexadecimal; bit i (most significant first) says whether item i is right


class ModalityEpoch(Frozen):
    """One epoch of new training items."""

    epoch: int  # 1, 2, ...
    learning_rate: float  # of the epoch's last step
    loss: float  # cross-entropy of the training items, mean over the steps
    accuracy: float  # of the training items, while weights moved
    losses: dict[str, float]  # weighted, summed over layers, mean over the steps
    real: float | None  # experts that compute, per token and layer, mean over the steps
    validation_loss: float
    validation_accuracy: float


class ModalityTrainNumbers(Numbers):
    """What a training on pictures and words leaves behind."""

    kind: ClassVar[str] = "vlm-train"
    tables: ClassVar[tuple[str, ...]] = ("epochs",)

    study: ModalityStudy  # resolved
    total_parameters: int
    active_parameters: int  # that one token meets, were all slots at their aim
    epochs: tuple[ModalityEpoch, ...]
    validation: Answers
    tests: dict[str, Answers]
    entailed: float | None  # accuracy on what right answers of iid entail (GQA's consistency)
    weights: str  # SHA-256 of the tensors


class Layer(Frozen):
    """How one layer used its experts, on one split in evaluation mode."""

    load: tuple[tuple[float, ...], ...]  # (m, e) share of a modality's choices: text, vision
    real: dict[str, float]  # experts that compute, per token, by token type
    entropy: dict[str, float]  # of the gate, nats, mean over tokens of a type
    specialisation: float  # mean over experts of |2 text share - 1|, weighted by load
    information: float  # mutual information of modality and expert, nats
    dead: tuple[int, ...]  # experts with less than a tenth of their even share of all choices


class ModalityUtilizationNumbers(Numbers):
    """Who computes what: experts by modality and type of token, of each layer."""

    kind: ClassVar[str] = "vlm-utilization"

    study: ModalityStudy
    items: int
    tokens: dict[str, int]  # of each type
    layers: tuple[Layer, ...]


class ModalityCurvature(Frozen):
    """Curvature of the mean cross-entropy over some items."""

    items: int
    loss: float
    accuracy: float
    eigenvalues: tuple[float, ...]  # of the Hessian, largest first
    residuals: tuple[float, ...]
    converged: bool
    trace: float
    trace_error: float


class ModalitySharpnessNumbers(Numbers):
    """How sharp the minimum of a run is."""

    kind: ClassVar[str] = "vlm-sharpness"

    study: ModalityStudy
    parameters: int
    splits: dict[str, ModalityCurvature]


class NlvrNumbers(Numbers):
    """Answers to NLVR, human statements about rendered pictures, by a run that never saw any."""

    kind: ClassVar[str] = "vlm-nlvr"

    study: ModalityStudy
    split: str
    sentences: int
    pictures: int
    accuracy: float  # over pictures
    consistency: float  # share of sentences that are right for all their pictures
    said_true: float  # share of pictures
    majority: float  # accuracy of the more frequent label
    unknown_words: float  # share of the words that are not in the vocabulary
