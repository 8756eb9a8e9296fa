"""The analyses of a trained run, and their sizes."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, ValidationInfo

from moelib.study.base import RECORDED, Frozen, Share, rule

FEWEST_REPEATS = 6  # of a timing: with fewer, no interval of the median holds at 95 %


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

    @rule
    def _budget(self) -> None:
        if self.krylov <= self.eigenvalues:
            raise ValueError(
                f"krylov must be above eigenvalues: {self.eigenvalues} of them and the lowest one "
                f"need at least {self.eigenvalues + 1} products, and not {self.krylov}"
            )


def _symmetric(radii: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
    if info.context == RECORDED:
        return radii
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

    @rule
    def _batches(self) -> None:
        for name in ("batches", "compiled_batches", "footprint_batches"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} must not hold a number twice")
        if not set(self.compiled_batches) <= set(self.batches):
            raise ValueError("compiled_batches must be among batches")


Corruption = Literal[
    "gaussian_noise", "shot_noise", "gaussian_blur", "brightness", "contrast", "jpeg"
]
Strength = Annotated[int, Field(ge=1, le=5)]


class Robustness(Frozen):
    """Predictions on corrupted test images, and how far probabilities can be trusted."""

    splits: ClassVar[tuple[str, ...]] = ("test",)  # the others need no images of this number

    images: PositiveInt = 2000  # of the test split that are corrupted; the same for every run
    corruptions: Annotated[tuple[Corruption, ...], Field(min_length=1)] = (
        *("gaussian_noise", "shot_noise", "gaussian_blur"),
        *("brightness", "contrast", "jpeg"),
    )
    strengths: Annotated[tuple[Strength, ...], Field(min_length=1)] = (1, 2, 3, 4, 5)
    bins: PositiveInt = 15  # of confidence, of equal width, for the calibration error

    @rule
    def _distinct(self) -> None:
        for name in ("corruptions", "strengths"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} must not hold an entry twice")


class Gallery(Frozen):
    """Test images of each expert, kept as thumbnails: of the first seed alone."""

    images: PositiveInt = 4  # of each expert: the most certain, the least certain, the wrong ones


class Analyses(Frozen):
    """The analyses of a trained run, and their sizes; null leaves one out."""

    utilization: Utilization | None = Utilization()
    sharpness: Sharpness | None = Sharpness()
    surface: Surface | None = Surface()
    efficiency: Efficiency | None = Efficiency()
    # Left out of records where null, so that those of studies without it stay what they were.
    robustness: Annotated[Robustness | None, Field(exclude_if=lambda sizes: sizes is None)] = None
    gallery: Annotated[Gallery | None, Field(exclude_if=lambda sizes: sizes is None)] = None
