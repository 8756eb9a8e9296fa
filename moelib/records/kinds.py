"""The kinds of records: what each analysis writes down, field by field.

They stand apart from the code that measures them, so that frames, figures and the book can read
records without knowing how to train.
"""

import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator
from pydantic.json_schema import models_json_schema

from moelib.records.atomic import write_atomically
from moelib.records.benchmarks import BenchmarkNumbers, ScaleNumbers, SessionNumbers
from moelib.records.cost import CostNumbers, TrafficNumbers
from moelib.records.modalities import (
    ModalitySharpnessNumbers,
    ModalityTrainNumbers,
    ModalityUtilizationNumbers,
    NlvrNumbers,
)
from moelib.records.record import VERSION, Numbers, Record
from moelib.records.reliability import RobustnessNumbers
from moelib.records.table import columns_schema
from moelib.study.base import PROJECT, Frozen


class Metrics(Frozen):
    """Loss and accuracy over a set of images, and how its experts were used."""

    loss: float  # cross-entropy, nats per image
    accuracy: float  # share of images
    gate_mass: tuple[float, ...] | None  # (e,) mean gate; null for heads without a gate
    load: tuple[float, ...] | None  # (e,) share of images that each expert is run on
    entropy: float | None  # mean over images of the gate's entropy, nats


def first_choices(gates: Any) -> Any:
    """Of gates (n, e) the expert of the largest, the first where several are equal: (n,)."""
    if gates is None:
        return None
    return tuple(row if isinstance(row, int) else row.index(max(row)) for row in gates)


class Epoch(Frozen):
    """One epoch; whether train metrics are of its end or running is the protocol's."""

    epoch: int  # 1, 2, ...
    learning_rate: float  # of the epoch's last step
    train: Metrics
    validation: Metrics
    balance: dict[str, float]  # weighted balance losses, mean over the steps
    # (n,) of the first validation images, so that one can watch routing form
    watched: Annotated[tuple[int, ...] | None, BeforeValidator(first_choices)] = None


class TrainNumbers(Numbers):
    """What a training leaves behind."""

    kind: ClassVar[str] = "train"
    tables: ClassVar[tuple[str, ...]] = ("epochs",)

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


SMALL_EIGENVALUE = 0.01  # share of the largest, below which rounding and bulk set the accuracy


class Eigenvalues(Frozen):
    """Extreme eigenvalues, by Lanczos with full reorthogonalisation."""

    largest: tuple[float, ...]  # descending
    residuals: tuple[float, ...]  # |H v - lambda v| of each; an eigenvalue lies within
    lowest: float
    lowest_residual: float
    converged: bool  # every residual is below the one asked for
    products: int  # with the Hessian


class Estimate(Frozen):
    """A mean over random probes."""

    value: float
    standard_error: float
    products: int  # with the Hessian, for the probes
    stopped: Literal["standard error", "budget"]  # by what


class Density(Frozen):
    """Spectral density by stochastic Lanczos quadrature: Gaussians around weighted nodes."""

    nodes: tuple[float, ...]
    weights: tuple[float, ...]  # sum 1
    bandwidth: float  # standard deviation of the Gaussians
    negative_mass: float  # share of the eigenvalues below minus the bandwidth
    negative_share: float  # of the negative eigenvalues in the sum of all absolute values
    probes: int


class Group(Frozen):
    """The diagonal block of a group of parameters."""

    parameters: int
    trace: Estimate


class Matched(Frozen):
    """Curvature of the loss of logits / temperature, which is the same for all heads."""

    temperature: float
    loss: float
    eigenvalues: Eigenvalues
    trace: Estimate


class Curvature(Frozen):
    """Curvature of the mean cross-entropy over fixed images, in evaluation mode."""

    images: int
    loss: float
    accuracy: float
    confidence: float  # mean over images of the largest probability
    gradient_norm: float
    eigenvalues: Eigenvalues
    trace: Estimate
    groups: dict[str, Group]
    density: Density
    gauss_newton: Eigenvalues
    adaptive: Eigenvalues  # of |w| H |w|
    adaptive_trace: Estimate
    average_rise: float  # of the loss, over random steps rho |w| N(0, 1)
    average_rise_error: float  # its standard error over the draws
    worst_rise: float  # largest found among steps of at most rho |w|
    matched: Matched | None  # null: no temperature gives that loss


class SharpnessNumbers(Numbers):
    """What the analysis of sharpness leaves behind."""

    kind: ClassVar[str] = "sharpness"

    epoch: int  # of the analysed weights
    parameters: int
    weight_norm: float
    gate_noise_removed: bool  # that the protocol keeps in evaluation: a random loss has no Hessian
    train: Curvature
    test: Curvature


class Sweep(Frozen):
    """The loss along one line through the trained weights."""

    direction: str  # eigenvector, or random 0, random 1, ...
    split: str
    length: float  # L2 norm of the step at radius 1
    radii: tuple[float, ...]
    loss: tuple[float, ...]
    accuracy: tuple[float, ...]
    rise: tuple[float, ...]  # (L(r) + L(-r)) / 2 - L(0) for each radius r > 0
    rerouted: tuple[float, ...] | None  # share of images whose chosen experts are others than at 0


class Plane(Frozen):
    """The loss on the plane of the first two random directions."""

    split: str
    radii: tuple[float, ...]  # along both
    loss: tuple[tuple[float, ...], ...]  # [first][second]


class SurfaceNumbers(Numbers):
    """What the analysis of the loss surface leaves behind."""

    kind: ClassVar[str] = "surface"
    tables: ClassVar[tuple[str, ...]] = ("sweeps",)

    epoch: int  # of the analysed weights
    images: int  # of each split
    weight_norm: float
    gate_noise_removed: bool  # as in the analysis of sharpness
    eigenvalue: float  # largest, on the training images; its eigenvector is swept
    eigenvalue_residual: float
    sweeps: tuple[Sweep, ...]
    planes: tuple[Plane, ...]


class Work(Frozen):
    """What there is to keep and to compute for one image."""

    head_parameters: int
    active_parameters: int  # of the head: those that one image meets
    total_parameters: int
    head_macs: int  # multiply-accumulates of the plan, by torch's counter
    head_macs_closed: int  # the same by closed form
    executed_macs: int  # of the executor that is chosen for one image
    backbone_macs: int  # by torch's counter


class Timed(Frozen):
    """One way of doing a part of the work, in turn with all others of that part and batch."""

    part: Literal["input", "head", "model"]
    what: Literal["this head", "reference", "backbone", "normalise", "copy"]
    executor: str | None  # of the experts; "auto" is the fastest by rule; null: no experts
    routing: Literal["learned", "uniform", "skewed"] | None
    compiled: bool
    batch: int
    milliseconds: tuple[float, ...]  # of one call; values of one index were taken side by side


class Footprint(Frozen):
    """Memory of the whole model in a fresh process."""

    batch: int
    weights_mib: float
    peak_mib: float  # above what the process held just before the pass


class EfficiencyNumbers(Numbers):
    """What the analysis of efficiency leaves behind."""

    kind: ClassVar[str] = "efficiency"
    tables: ClassVar[tuple[str, ...]] = ("timed",)

    precision: str  # of the backbone; heads compute in float32
    reference_hidden: int | None  # of the dense head beside it; null: another head like this one
    work: Work
    chosen: dict[str, str]  # batch -> the executor that "auto" stands for; empty: no experts
    timed: tuple[Timed, ...]
    footprints: tuple[Footprint, ...]


class Picture(Frozen):
    """One image, and what the gate and the net made of it."""

    split: Literal["test", "validation"]
    index: int  # in its split
    label: int
    predicted: int
    probability: float  # of the predicted class
    logits: tuple[float, ...]  # (e,) clean, of the gate, divided by its temperature
    noise: tuple[float, ...] | None  # (e,) deviation of the noise of training, in the same units


class GalleryNumbers(Numbers):
    """Images that each expert gets; an image belongs to its first choice."""

    kind: ClassVar[str] = "gallery"
    tables: ClassVar[tuple[str, ...]] = ("pictures",)

    epoch: int  # of the analysed weights
    images: int  # test images that were routed
    classes: tuple[str, ...]
    k: int
    temperature: float
    bias: tuple[float, ...] | None  # (e,) added to the logits for the selection alone
    class_expert: tuple[tuple[int, ...], ...]  # (c, e) test images by class and first choice
    moved_by_noise: float | None  # share of test images with another first choice under noise
    size: tuple[int, int]  # height and width of an image in the sprite, pixels
    sprite: str  # JPEG in base64: all pictures below each other
    pictures: tuple[Picture, ...]
    certain: tuple[tuple[int, ...], ...]  # [expert] places in `pictures`, the most certain first
    uncertain: tuple[tuple[int, ...], ...]  # [expert], the least certain first
    wrong: tuple[tuple[int, ...], ...]  # [expert], misclassified with the highest probability first
    watched: tuple[int, ...]  # those whose choices the training kept at each epoch


class Peer(Frozen):
    """What another implementation returned, as it returned it."""

    values: tuple[float, ...]
    products: int  # with the Hessian
    seconds: float


class CrosscheckNumbers(Numbers):
    """PyHessian beside this project and a long reference, on one trained run's training images."""

    kind: ClassVar[str] = "crosscheck"

    images: int
    reference: Eigenvalues  # in float64, to a far smaller residual
    eigenvalues: Eigenvalues  # this project's, as in the analysis of sharpness
    eigenvalues_seconds: float
    peer_eigenvalues: tuple[Peer, ...]  # PyHessian's, one for each of several random seeds
    reference_trace: Estimate
    trace: Estimate
    trace_seconds: float
    peer_traces: tuple[Peer, ...]
    peer_density_error: str | None


ANALYSES = (  # of a run
    *(UtilizationNumbers, SharpnessNumbers, SurfaceNumbers),
    *(EfficiencyNumbers, RobustnessNumbers, GalleryNumbers),
)
MODALITIES = (
    *(ModalityTrainNumbers, ModalityUtilizationNumbers, ModalitySharpnessNumbers),
    NlvrNumbers,
)
OF_SCRIPTS = (
    *(CrosscheckNumbers, BenchmarkNumbers, ScaleNumbers, CostNumbers, TrafficNumbers),
    SessionNumbers,
)
KINDS = (TrainNumbers, *ANALYSES, *MODALITIES, *OF_SCRIPTS)
SCHEMA = PROJECT / "results" / "record.schema.json"  # beside the published records


def schema() -> dict:
    """JSON schema that every record fits; `python -m moelib.records.kinds` writes it."""
    models = [(Record[kind], "validation") for kind in KINDS]
    references, definitions = models_json_schema(models)
    defined = definitions["$defs"]

    def resolve(part: dict) -> dict:
        return defined[part["$ref"].removeprefix("#/$defs/")] if "$ref" in part else part

    for kind in KINDS:
        fields = defined[kind.__name__]["properties"]
        for name in kind.tables:
            empty = {"type": "array", "maxItems": 0}
            table = columns_schema(fields[name]["items"], resolve)
            fields[name] = {"title": fields[name]["title"], "anyOf": [table, empty]}
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
