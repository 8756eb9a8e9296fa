"""A classifier: backbone and head."""

import torch
from torch import Tensor, nn

from moelib.heads.head import build_head
from moelib.heads.routing import Routing
from moelib.study.base import ConfigError
from moelib.study.run import Run
from moelib.training.backbones import build_backbone
from moelib.training.data import Dataset, normalise
from moelib.training.seeding import seeded

SPEEDNET_PIXELS = 9  # a 2x2 stem and three halvings leave one
WHITENING_IMAGES = 5000  # their 2x2 patches estimate a 12 x 12 moment to well under 1 %


class Classifier(nn.Module):
    """Images (n, channel, height, width) -> logits (n, c).

    The head computes in float32 also under bf16 autocast: a gate's ranking is sensitive to
    rounding (selective precision, Fedus 2021, section 2.4) and its share of the work is negligible.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, c)."""
        return self.routed(images)[0]

    def routed(self, images: Tensor) -> tuple[Tensor, Routing | None]:
        """Logits (n, c), and the routing behind them where the head has a gate."""
        features = self.backbone(images)  # (n, d)
        with torch.autocast(images.device.type, enabled=False):
            at_least_float32 = torch.promote_types(features.dtype, torch.float32)
            return self.head.routed(features.to(at_least_float32))


def build_model(run: Run, dataset: Dataset) -> Classifier:
    """The run's model before training, on the CPU.

    The backbone is drawn from a stream that all heads of a seed share.

    Raises:
        ConfigError: the images are too small for the backbone.
    """
    cpu = torch.device("cpu")
    with seeded(run.stream("backbone"), cpu):
        backbone = build_backbone(run.study.backbone, channels=dataset.train.images.shape[-1])
    if hasattr(backbone, "whiten"):
        _refuse_small(dataset)
        first = dataset.train.images[:WHITENING_IMAGES].cpu()
        backbone.whiten(normalise(first, dataset.mean.cpu(), dataset.std.cpu()))
    with seeded(run.stream(f"{run.head}/head"), cpu):
        head = build_head(
            run.study.heads[run.head], backbone.features, len(dataset.classes), run.study.protocol
        )
    return Classifier(backbone, head)


def _refuse_small(dataset: Dataset) -> None:
    height, width = dataset.train.images.shape[1:3]
    if min(height, width) < SPEEDNET_PIXELS:
        raise ConfigError(
            "Whitened filters need images of at least "
            f"{SPEEDNET_PIXELS} x {SPEEDNET_PIXELS} pixels, "
            f"and these are {height} x {width}; small_resnet takes any size."
        )


def parameter_count(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in module.parameters())
