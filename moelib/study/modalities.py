"""What can be run on pictures and words: a study of one small vision-language transformer."""

import json
import re
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from moelib.study.base import ConfigError, Frozen, NonNegativeInt, Probability, Seed, Share, rule
from moelib.study.reader import STUDIES, explain, read_yaml
from moelib.study.run import Run, results_root
from moelib.study.training import OneCycle, Training

FOLDER = STUDIES / "modalities"

# What an object is: one value of each attribute. Words of the questions, too.
ATTRIBUTES = {
    "size": ("small", "large"),
    "colour": ("black", "yellow", "blue", "red"),
    "shape": ("square", "triangle", "circle", "cross"),
}
PREDICATES = ("exist", "number", "more", "relate")  # of one picture: true or false
LINKS = ("and", "or")  # of predicates
FRAMES = ("left", "right", "both", "one", "neither")  # of which pictures it is said

Colour = Literal["black", "yellow", "blue", "red"]
Shape = Literal["square", "triangle", "circle", "cross"]
Range = tuple[PositiveInt, PositiveInt]


class Scenes(Frozen):
    """Pictures: a grid of cells with at most one object each; two pictures to an item."""

    objects: Range = (2, 5)  # fewest and most in a picture
    more_objects: Range = (6, 8)  # those of the split `objects`
    jitter: NonNegativeInt = 1  # pixels within the cell

    @rule
    def _ranges(self) -> None:
        for name in ("objects", "more_objects"):
            fewest, most = getattr(self, name)
            if not 2 <= fewest <= most <= 8:
                raise ValueError(f"{name} must be two numbers from 2 to 8 that do not descend")
        if self.more_objects[0] <= self.objects[1]:
            raise ValueError("more_objects must begin above the end of objects")
        if self.jitter > 1:
            raise ValueError("jitter is at most 1 pixel: objects have 7, cells 8")


class HeldOut(Frozen):
    """What training never shows: pairs of attributes, and programs composed in these ways."""

    pairs: tuple[tuple[Shape, Colour], ...] = (
        ("square", "red"),
        ("triangle", "blue"),
        ("circle", "yellow"),
        ("cross", "black"),
    )
    # (frame or link, predicate): neither part is held out with everything.
    compositions: tuple[tuple[str, str], ...] = (
        ("one", "more"),
        ("both", "number"),
        ("neither", "relate"),
        ("or", "relate"),
        ("and", "more"),
    )

    @rule
    def _seen_apart(self) -> None:
        for index in (0, 1):
            part = [pair[index] for pair in self.pairs]
            if len(set(part)) < len(part):
                raise ValueError("pairs must hold no shape and no colour twice: each is also seen")
        if not self.pairs or not self.compositions:
            raise ValueError("pairs and compositions must not be empty: they are splits")
        allowed = {*product((*FRAMES, *LINKS), PREDICATES)}
        for outer, inner in self.compositions:
            if (outer, inner) not in allowed:
                raise ValueError(
                    f"compositions: ({outer}, {inner}) must be one of {', '.join(FRAMES + LINKS)} "
                    f"and one of {', '.join(PREDICATES)}"
                )
        for index, names in ((0, (*FRAMES, *LINKS)), (1, PREDICATES)):
            for name in names:
                others = PREDICATES if index == 0 else FRAMES
                held = [pair for pair in self.compositions if pair[index] == name]
                if len({*held} & {*product(FRAMES, PREDICATES)}) >= len(others) and held:
                    raise ValueError(f"compositions hold out '{name}' with everything")


class Questions(Frozen):
    """How often each form of question is asked; shares sum to 1."""

    statement: Probability = 0.4  # one predicate
    connected: Probability = 0.3  # two predicates, by and / or
    count: Probability = 0.15
    query: Probability = 0.15

    @rule
    def _sum(self) -> None:
        if abs(sum(share for _, share in self) - 1) > 1e-9:
            raise ValueError("the shares of the forms of question must sum to 1")


class Transformer(Frozen):
    """Pre-normalised blocks of attention and perceptron over patches and words."""

    layers: PositiveInt = 3
    width: PositiveInt = 128  # d
    heads: PositiveInt = 4  # of attention

    @rule
    def _divides(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by {self.heads} heads")


Sees = Literal["both", "words", "images"]


class Dense(Frozen):
    """One perceptron for all tokens."""

    kind: Literal["dense"]
    hidden: PositiveInt = 256
    sees: Sees = "both"  # words: question-only; images: image-only


class Mixture(Frozen):
    """Base of the arms with experts."""

    experts: Annotated[int, Field(ge=2)] = 8
    k: PositiveInt = 2
    hidden: PositiveInt = 128  # units of each expert
    balance: NonNegativeFloat = 0.01  # coefficient of the switch loss, within its group of experts

    @rule
    def _k(self) -> None:
        if self.k > self.experts:
            raise ValueError(f"k = {self.k} is more than {self.experts} experts")


class TopK(Mixture):
    """Ordinary top-k: softmax over the k chosen logits; of one expert its probability."""

    kind: Literal["top_k"]


class Hard(Mixture):
    """Experts divided between modalities: a token is routed among those of its own."""

    kind: Literal["hard"]
    vision_experts: PositiveInt = 4

    @rule
    def _parts(self) -> None:
        text = self.experts - self.vision_experts
        if min(text, self.vision_experts) < self.k:
            raise ValueError(
                f"vision_experts = {self.vision_experts} of {self.experts} leaves a modality fewer "
                f"than k = {self.k} experts"
            )


class Guided(Mixture):
    """Top-k with soft modality guidance in training, after SMoES (arXiv 2604.23996)."""

    kind: Literal["guided"]
    score: Literal["attention", "gaussian", "one_hot"] = "attention"
    guidance: Literal["information", "kl", "none"] = "information"
    strength: NonNegativeFloat = 0.01  # coefficient of the guidance
    bins: Annotated[int, Field(ge=2)] = 2
    adaptive: bool = True  # bins follow the experts' specialisation; false: they are fixed
    memory: Share = 0.99  # of the moving averages

    @rule
    def _bins(self) -> None:
        if self.experts % self.bins:
            raise ValueError(f"{self.experts} experts do not divide into {self.bins} equal bins")


class Slots(Mixture):
    """A number of slots for each token; a reconstruction after AnyExperts (arXiv 2511.18314).

    `k` is the aim of the mean number of real experts of a token.
    """

    kind: Literal["slots"]
    allocation: Literal["learned", "shuffled", "constant", "entropy", "top_p"] = "learned"
    least: PositiveInt = 1
    most: PositiveInt = 4
    virtual: NonNegativeInt = 2  # experts that compute nothing, beside the real ones
    virtual_share: Probability = 0.25  # of a token's slots that they may fill
    residual: NonNegativeFloat = 0.1  # alpha of h + alpha w h
    budget: NonNegativeFloat = 0.1  # coefficient of (mean real experts - k)^2
    memory: Share = 0.99  # of the moving averages of the rules that keep one

    @rule
    def _range(self) -> None:
        if not self.least <= self.k <= self.most <= self.experts:
            raise ValueError(
                f"least <= k <= most <= experts must hold, and they are {self.least}, {self.k}, "
                f"{self.most}, {self.experts}"
            )


Arm = Annotated[Dense | TopK | Hard | Guided | Slots, Field(discriminator="kind")]


class Sizes(Frozen):
    """Items of each split."""

    train: PositiveInt = 25_600  # new ones in each epoch
    validation: PositiveInt = 2_000
    test: PositiveInt = 4_000  # of each split of the test

    @rule
    def _fours(self) -> None:
        for name, size in self:
            if size % 4:
                raise ValueError(f"sizes.{name} must be a multiple of 4: a sentence has four items")


class ModalityStudy(Frozen):
    """One study of routing between modalities: what determines its numbers, except the machine.

    Trained with AdamW, whose first decay rate is `training.momentum`.
    """

    name: str
    description: str
    data_seed: Seed = 0  # of validation and test, the same for all runs
    scenes: Scenes = Scenes()
    held_out: HeldOut = HeldOut()
    questions: Questions = Questions()
    sizes: Sizes = Sizes()
    transformer: Transformer = Transformer()
    arms: Annotated[dict[str, Arm], Field(min_length=1)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    curvature_items: PositiveInt = 200  # of each split, for the analysis of sharpness
    clip: PositiveFloat = 1.0  # largest norm of a gradient
    # Coefficient of the loss by which patches say, before the last block, which descriptions of
    # their sentence they fit; in training alone.
    grounding: NonNegativeFloat = 1.0
    training: Training

    def only(self, arm: str) -> "ModalityStudy":
        """The study with one arm alone: what determines its runs, and no more."""
        return self.model_copy(update={"arms": {arm: self.arms[arm]}})

    @rule
    def _names(self) -> None:
        for name in (self.name, *self.arms):
            if not re.fullmatch(r"\w[\w.-]*", name):
                raise ValueError(f"'{name}' cannot name a study or an arm: both name folders")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must not hold a number twice")

    @rule
    def _adamw(self) -> None:
        training = self.training
        if not isinstance(training.schedule, OneCycle):
            raise ValueError("training.schedule must be onecycle: warm-up, then decay to 0")
        if training.nesterov or training.label_smoothing or training.compile is True:
            raise ValueError(
                "training.nesterov, label_smoothing and compile are not used here: leave them out"
            )
        if self.sizes.train % training.batch_size:
            raise ValueError("sizes.train must be a multiple of training.batch_size")


def load_modality_study(name: str) -> ModalityStudy:
    """Read a study by its name in `studies/modalities/`, or by the path of a YAML file.

    Raises:
        ConfigError: it does not exist, is not YAML, or holds something that is not allowed.
    """
    path = FOLDER / f"{name}.yaml"
    if str(name).endswith((".yaml", ".yml")):
        path = Path(name)
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in FOLDER.glob("*.yaml")))
        raise ConfigError(f"There is no modality study '{name}'; they are {names}.")
    return parse_modality_study({"name": path.stem, **read_yaml(path)}, source=path.name)


def parse_modality_study(raw: dict[str, Any], source: str = "study") -> ModalityStudy:
    """Validate the plain dictionary of a study; `source` names it in error sentences."""
    try:
        return ModalityStudy.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        raise ConfigError(f"{source}: {explain(error, ModalityStudy)}") from None
    except TypeError as error:
        raise ConfigError(f"{source}: {error}.") from None


class ModalityRun(Run):
    """One (modality study, arm, seed): its folder, lock and random streams, as of any run."""

    study: ModalityStudy

    @property
    def arm(self) -> Dense | Mixture:
        """What its blocks compute with; it is named as heads are."""
        return self.study.arms[self.head]

    @property
    def folder(self) -> Path:
        """Where its records and weights are kept."""
        return results_root() / "modalities" / self.study.name / self.head / f"seed-{self.seed}"


def open_modality_run(study: str, arm: str, seed: int) -> ModalityRun:
    """The run of a study by name or path, refused unless the study lists its arm and seed."""
    loaded = load_modality_study(study)
    if arm not in loaded.arms:
        raise ConfigError(
            f"The study '{loaded.name}' has no arm '{arm}'; its arms are {', '.join(loaded.arms)}."
        )
    if seed not in loaded.seeds:
        seeds = ", ".join(map(str, loaded.seeds))
        raise ConfigError(f"The study '{loaded.name}' has no seed {seed}; its seeds are {seeds}.")
    return ModalityRun(loaded.only(arm), arm, seed)


def modality_runs(study: ModalityStudy) -> list[ModalityRun]:
    """All runs of a study, seed by seed, so that whatever is done is paired."""
    return [ModalityRun(study.only(arm), arm, seed) for seed in study.seeds for arm in study.arms]
