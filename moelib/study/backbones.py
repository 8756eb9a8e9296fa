"""The nets that turn images into features."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from moelib.study.base import Frozen


class ResNet18(Frozen):
    """ResNet-18 with a 3x3 stem and no max-pooling: the paper's backbone, d = 512."""

    kind: Literal["resnet18"]

    @property
    def features(self) -> int:
        """How many numbers an image becomes: d."""
        return 512


class SmallResNet(Frozen):
    """One basic block per width, each after the first at half the resolution; d = widths[-1]."""

    kind: Literal["small_resnet"]
    widths: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (16, 32)

    @property
    def features(self) -> int:
        """How many numbers an image becomes: d."""
        return self.widths[-1]


class SpeedNet(Frozen):
    """Whitening stem and three groups, after the CIFAR-10 speedruns; d = widths[-1]."""

    kind: Literal["speednet"]
    widths: tuple[PositiveInt, PositiveInt, PositiveInt] = (24, 80, 80)

    @property
    def features(self) -> int:
        """How many numbers an image becomes: d."""
        return self.widths[-1]


class RandomFeatures(Frozen):
    """Whitened random patches of the training images as filters, never trained; d = 8 filters."""

    kind: Literal["random_features"]
    filters: PositiveInt = 64  # each with both signs, pooled over four quadrants

    @property
    def features(self) -> int:
        """How many numbers an image becomes: d."""
        return 8 * self.filters


Backbone = Annotated[
    ResNet18 | SmallResNet | SpeedNet | RandomFeatures, Field(discriminator="kind")
]
