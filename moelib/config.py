"""What can be run: the objects of a study, frozen and validated. `moelib.study` reads them."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

PROJECT = Path(__file__).resolve().parents[1]  # the checkout: moelib is installed in editable mode

Share = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what torch's generators take
Switchable = Literal[True, False, "auto"]


# Folders of results/ that hold records of scripts, beside the folders of studies.
SCRIPTS = ("benchmarks", "crosscheck", "scale")
FEWEST_REPEATS = 6  # of a timing: with fewer, no interval of the median holds at 95 %


class ConfigError(ValueError):
    """A study, a parameter or an environment that cannot be run; the message is a full sentence."""


class Frozen(BaseModel):
    """Immutable, strict about types, and closed: no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


# -- data ---------------------------------------------------------------------------------------


class Data(Frozen):
    """Which images, how they are split, and which augmentation suits them."""

    source: Literal["cifar10", "digits", "folder"]
    root: str | None = (
        None  # where the files are; default: $MOELIB_DATA, then data/ in the checkout
    )
    test_share: Share | None = None  # of all images; only where the source has no official test set
    validation_share: Share = 0.1  # of the images that are not test images
    split_seed: Seed = 42
    crop_padding: NonNegativeInt = (
        4  # pixels of zeros on each side before a random crop; 0: no crop
    )
    flip: bool = True  # horizontal, with probability 1/2

    @model_validator(mode="after")
    def _test_set(self) -> "Data":
        if self.source == "cifar10" and self.test_share is not None:
            raise ValueError("test_share must be left out: CIFAR-10 has an official test set")
        if self.source != "cifar10" and self.test_share is None:
            raise ValueError(f"test_share is needed: {self.source} has no official test set")
        if self.source == "folder" and self.root is None:
            raise ValueError("root is needed: the folder that holds one folder of images per class")
        return self


# -- backbones ----------------------------------------------------------------------------------


class ResNet18(Frozen):
    """ResNet-18 with a 3x3 stem and no max-pooling: the paper's backbone, d = 512."""

    kind: Literal["resnet18"]


class SmallResNet(Frozen):
    """One basic block per width, each after the first at half the resolution; d = widths[-1]."""

    kind: Literal["small_resnet"]
    widths: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (16, 32)


class SpeedNet(Frozen):
    """Whitening stem and three groups, after the CIFAR-10 speedruns; d = widths[-1]."""

    kind: Literal["speednet"]
    widths: tuple[PositiveInt, PositiveInt, PositiveInt] = (24, 80, 80)


Backbone = Annotated[ResNet18 | SmallResNet | SpeedNet, Field(discriminator="kind")]


# -- heads --------------------------------------------------------------------------------------


class Balance(Frozen):
    """Coefficients of the balance losses that are added to the cross-entropy; 0 leaves one out."""

    kl: NonNegativeFloat = 0.0  # mean gate against uniform; its direction is protocol.kl
    importance: NonNegativeFloat = 0.0  # CV^2 of summed gates (Shazeer 2017, eq. 7)
    load: NonNegativeFloat = (
        0.0  # CV^2 of load (Shazeer 2017, eq. 11); its estimator is protocol.load
    )
    switch: NonNegativeFloat = 0.0  # E sum f P (Fedus 2021, eq. 4)
    z: NonNegativeFloat = 0.0  # mean logsumexp^2 (Zoph 2022, eq. 5)
    bias_rate: NonNegativeFloat = 0.0  # step of the selection bias (Wang 2024); not a loss


class Linear(Frozen):
    """Control: one linear layer."""

    kind: Literal["linear"]


class Dense(Frozen):
    """Multilayer perceptron with one hidden layer."""

    kind: Literal["dense"]
    hidden: PositiveInt = 512
    dropout: Probability = 0.1


class _Experts(Frozen):
    experts: PositiveInt = 8
    hidden: PositiveInt = 64  # units of each expert
    dropout: Probability = 0.1  # on the experts' hidden units
    gate_dropout: Probability = 0.1  # on the gate's input (and logits: protocol.logit_dropout)
    temperature: PositiveFloat = 1.0


class _TopK(_Experts):
    k: PositiveInt = 2  # experts chosen for each image

    @model_validator(mode="after")
    def _k_experts(self) -> "_TopK":
        if self.k > self.experts:
            raise ValueError(f"k = {self.k} must not exceed experts = {self.experts}")
        return self


class Soft(_Experts):
    """Dense mixture: every expert on every image, weighted by a softmax gate (Jacobs 1991)."""

    kind: Literal["soft"]
    balance: Balance = Balance()

    @model_validator(mode="after")
    def _no_selection(self) -> "Soft":
        _refuse_balance(
            self.balance, "soft", ("load", "switch", "bias_rate"), "it selects no experts"
        )
        return self


class Sparse(_TopK):
    """Noisy top-k (Shazeer 2017), with the paper's standardised logits and noise floor."""

    kind: Literal["sparse"]
    standardise: bool = True  # logits of each image to mean 0, deviation 1, before the noise
    noise_floor: NonNegativeFloat = 0.3  # least standard deviation of the gate noise
    balance: Balance = Balance()


class Switch(_Experts):
    """k = 1, weighted by the gate's probability so that the gate learns (Fedus 2021)."""

    kind: Literal["switch"]
    balance: Balance = Balance()

    @model_validator(mode="after")
    def _no_noise(self) -> "Switch":
        _refuse_balance(
            self.balance, "switch", ("load",), "its selection has no noise to smooth it"
        )
        return self


class Uniform(_Experts):
    """Control: every expert on every image, all weights 1/E."""

    kind: Literal["uniform"]


class FrozenGate(_TopK):
    """Control: top-k over a random linear gate that is never trained."""

    kind: Literal["frozen"]


def has_experts(head: "Head") -> bool:
    """Whether a head routes images to experts, so that its utilization can be analysed."""
    return isinstance(head, _Experts)


def family(name: str) -> str:
    """What comes before the first hyphen of a head's name in a study: `sparse` of `sparse-e16`."""
    return name.split("-")[0]


def _refuse_balance(balance: Balance, head: str, names: tuple[str, ...], why: str) -> None:
    for name in names:
        if getattr(balance, name) > 0:
            raise ValueError(f"balance.{name} does not apply to a {head} head: {why}")


Head = Annotated[
    Linear | Dense | Soft | Sparse | Switch | Uniform | FrozenGate, Field(discriminator="kind")
]


# -- protocol -----------------------------------------------------------------------------------


class Protocol(Frozen):
    """Each point on which the authors' code and their description differ, as a key of its own.

    The comments name the erratum (the book's page on methods lists them all).
    """

    base: Literal["corrected", "as-run"]  # the preset from which the keys below take their defaults
    augment: bool  # H1: the authors' loader lost crop and flip
    noise_at_evaluation: bool  # H2: gate noise stayed on in evaluation
    kl: Literal["p_u", "u_p_over_e"]  # H3: KL(p||u), or KL(u||p)/E
    load: Literal["smooth", "importance"]  # H4: Shazeer's estimator, or importance a second time
    top_1_weight: Literal[
        "probability", "renormalised"
    ]  # H5: renormalised is constant 1: no gradient
    ties: Literal["break", "keep"]  # H6: exactly k experts, or all that reach the k-th logit
    logit_dropout: bool  # H6: dropout on gate logits after the noise, which makes the ties
    checkpoint: Literal["last", "best_validation"]  # H7, H11: weights that are tested and analysed
    paired: bool  # H11: heads of one seed share batch order and augmentation
    loss_mean: Literal["images", "batches"]  # H14: batch means make a last small batch weigh more
    train_loss_with_balance: bool  # H14: the reported train loss contains the balance losses
    train_metrics: Literal["evaluation", "running"]  # H15: at epoch end, or while weights move


PROTOCOLS = {
    "corrected": Protocol(
        base="corrected",
        augment=True,
        noise_at_evaluation=False,
        kl="p_u",
        load="smooth",
        top_1_weight="probability",
        ties="break",
        logit_dropout=False,
        checkpoint="last",
        paired=True,
        loss_mean="images",
        train_loss_with_balance=False,
        train_metrics="evaluation",
    ),
    "as-run": Protocol(
        base="as-run",
        augment=False,
        noise_at_evaluation=True,
        kl="u_p_over_e",
        load="importance",
        top_1_weight="renormalised",
        ties="keep",
        logit_dropout=True,
        checkpoint="best_validation",
        paired=False,
        loss_mean="batches",
        train_loss_with_balance=True,
        train_metrics="running",
    ),
}


def _refuse_inexact_load(name: str, head: Sparse, protocol: Protocol) -> None:
    # Shazeer's estimator knows of nothing but noise between clean and ranked logits.
    if protocol.load != "smooth":
        return
    undefined = f"heads.{name}.balance.load with protocol.load = 'smooth' is not defined under"
    if protocol.logit_dropout and head.gate_dropout > 0:
        raise ValueError(
            f"{undefined} logit dropout: set protocol.logit_dropout to false, gate_dropout to 0, "
            "or protocol.load to 'importance'"
        )
    if head.balance.bias_rate > 0:
        raise ValueError(
            f"{undefined} a selection bias: set either balance.load or balance.bias_rate to 0"
        )


# -- training -----------------------------------------------------------------------------------


class MultiStep(Frozen):
    """The paper's schedule: the learning rate is multiplied by gamma after each milestone epoch."""

    kind: Literal["multistep"]
    milestones: tuple[PositiveInt, ...] = (30, 40)
    gamma: PositiveFloat = 0.1


class OneCycle(Frozen):
    """Linear warm-up from 1/5 of the peak over a share of all steps, then linear decay to 0."""

    kind: Literal["onecycle"]
    warmup: Share = 0.2


class Training(Frozen):
    """SGD with momentum; the numerical format; how often the state is kept."""

    epochs: PositiveInt
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 0.1  # the peak
    momentum: Probability = 0.9
    nesterov: bool = False
    weight_decay: NonNegativeFloat = 0.0005  # on every parameter
    label_smoothing: Probability = 0.0
    schedule: Annotated[MultiStep | OneCycle, Field(discriminator="kind")] = MultiStep(
        kind="multistep"
    )
    device: Literal["cpu", "cuda"] = "cpu"
    threads: PositiveInt = 1  # of torch on the CPU; part of the study, since sums depend on it
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"  # auto: `moelib.device.defaults`
    channels_last: Switchable = "auto"
    compile: Switchable = "auto"
    checkpoint_every: PositiveInt = 1  # epochs
    curve_images: PositiveInt | None = None  # training images in the curves; default: all

    @model_validator(mode="after")
    def _possible(self) -> "Training":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        if self.precision == "tf32" and self.device == "cpu":
            raise ValueError("precision tf32 needs a cuda device; a cpu has fp32 and bf16")
        never = [m for m in getattr(self.schedule, "milestones", ()) if m >= self.epochs]
        if never:  # erratum H20: the authors' milestones were the same for any number of epochs
            raise ValueError(
                f"schedule.milestones {', '.join(map(str, never))} never come in {self.epochs} "
                f"epochs: a milestone is less than epochs; [] is a constant learning rate"
            )
        return self


# -- analyses and the study ---------------------------------------------------------------------


class Utilization(Frozen):
    """How experts are used, and the null of the class-expert mutual information."""

    permutations: PositiveInt = 1000  # of the labels, for the null of the mutual information
    dead_below: Share = 0.1  # an expert is dead below this multiple of the uniform gate mass 1/E


class Sharpness(Frozen):
    """Curvature of the loss at the trained weights: how exactly, and at what cost at most."""

    images: PositiveInt = 1000  # of each split; the same ones for every run of a study
    keep_graphs: bool = False  # of 1,000 images between products: a third faster, some MB an image
    eigenvalues: PositiveInt = 5  # the largest ones
    residual: Share = 0.01  # of each eigenpair, relative to its eigenvalue
    krylov: PositiveInt = 100  # products with the Hessian at most, for the eigenvalues
    trace_error: Share = 0.01  # standard error of a trace, relative to it
    trace_products: Annotated[int, Field(ge=2)] = 200  # with the Hessian at most, for one trace
    density_probes: PositiveInt = 4
    density_steps: PositiveInt = 60  # of Lanczos from each probe
    average_radius: PositiveFloat = 0.1  # rho of the average-case adaptive sharpness
    average_draws: Annotated[int, Field(ge=2)] = 20  # of the perturbation: one has no spread
    worst_radius: PositiveFloat = 0.002  # rho of the worst-case adaptive sharpness
    worst_steps: PositiveInt = 20  # of projected ascent
    matched_loss: PositiveFloat = 0.5  # nats, to which a temperature brings the mean loss

    @model_validator(mode="after")
    def _budget(self) -> "Sharpness":
        if self.krylov <= self.eigenvalues:
            raise ValueError(
                f"krylov must be above eigenvalues: {self.eigenvalues} of them and the lowest one "
                f"need at least {self.eigenvalues + 1} products, and not {self.krylov}"
            )
        return self


def _symmetric(radii: tuple[float, ...]) -> tuple[float, ...]:
    if 0 not in radii:
        raise ValueError("the radii must hold 0: a rise is measured from the loss there")
    if len(radii) < 3 or list(radii) != sorted({-radius for radius in radii}):
        raise ValueError("the radii must ascend and hold -r with each r, and more than 0 alone")
    return radii


Radii = Annotated[tuple[float, ...], AfterValidator(_symmetric)]


class Surface(Frozen):
    """The loss on finite steps away from the trained weights."""

    images: PositiveInt = 1000  # of each split; the same ones for every run of a study
    eigenvector_radii: Radii = (  # L2 length of the step along the top eigenvector, as in the paper
        *(-0.5, -0.4, -0.3, -0.2, -0.15, -0.1, -0.05),
        *(0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5),
    )
    directions: PositiveInt = 5  # random ones, filter-normalised
    random_radii: Radii = (-1.0, -0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    plane_radii: Radii = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)


class Efficiency(Frozen):
    """The cost of inference: at which batches it is timed, and how often."""

    batches: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 8, 32, 128, 512, 2048)
    repeats: Annotated[int, Field(ge=FEWEST_REPEATS)] = 11
    at_least_ms: PositiveFloat = 2.0  # that one timing lasts, by calls in a row
    compiled_batches: tuple[PositiveInt, ...] = ()  # those at which models are also compiled
    footprint_batches: tuple[PositiveInt, ...] = (1, 256)  # at which memory is measured

    @model_validator(mode="after")
    def _batches(self) -> "Efficiency":
        for name in ("batches", "compiled_batches", "footprint_batches"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} must not hold a number twice")
        if not set(self.compiled_batches) <= set(self.batches):
            raise ValueError("compiled_batches must be among batches")
        return self


class Analyses(Frozen):
    """The analyses of a trained run, and their sizes; null leaves one out."""

    utilization: Utilization | None = Utilization()
    sharpness: Sharpness | None = Sharpness()
    surface: Surface | None = Surface()
    efficiency: Efficiency | None = Efficiency()


class Study(Frozen):
    """One study: everything that determines its numbers, except the machine."""

    name: str
    description: str
    data: Data
    backbone: Backbone
    heads: Annotated[dict[str, Head], Field(min_length=1)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    protocol: Protocol
    training: Training
    analyses: Analyses = Analyses()

    @model_validator(mode="after")
    def _named_folders(self) -> "Study":
        for name in (self.name, *self.heads):
            if not re.fullmatch(r"\w[\w.-]*", name):
                raise ValueError(
                    f"'{name}' cannot name a study or a head, since both name folders: "
                    "use letters, digits, '_', '-' and '.'"
                )
        if self.name in SCRIPTS:
            raise ValueError(
                f"'{self.name}' cannot name a study: results/{self.name} holds other records; "
                f"{', '.join(SCRIPTS)} are taken"
            )
        return self

    @model_validator(mode="after")
    def _distinct_seeds(self) -> "Study":
        twice = sorted({seed for seed in self.seeds if self.seeds.count(seed) > 1})
        if twice:
            raise ValueError(f"seeds: {', '.join(map(str, twice))} is given more than once")
        return self

    @model_validator(mode="after")
    def _exact_loads(self) -> "Study":
        for name, head in self.heads.items():
            if isinstance(head, Sparse) and head.balance.load > 0:
                _refuse_inexact_load(name, head, self.protocol)
        return self

    def analyses_of(self, head: str, seed: int) -> list[str]:
        """Names of the analyses that are to be made of a run.

        Heads without experts have no utilization. The cost of inference depends on the seed by the
        routing alone, and measuring it takes the whole machine: the first seed stands for all.
        """
        names = [name for name, sizes in self.analyses if sizes is not None]
        left_out = set() if has_experts(self.heads[head]) else {"utilization"}
        left_out |= set() if seed == self.seeds[0] else {"efficiency"}
        return [name for name in names if name not in left_out]
