"""Backbones: images (n, channel, height, width) -> pooled features (n, d)."""

from functools import singledispatch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moelib.study import backbones as config


@singledispatch
def build_backbone(backbone: config.Backbone, channels: int) -> nn.Module:
    """The module of a backbone's configuration; its attribute `features` is d.

    Each kind of backbone registers the function that builds it.
    """
    raise TypeError(f"No function is registered to build a {type(backbone).__name__}.")


@build_backbone.register
def _resnet18(backbone: config.ResNet18, channels: int) -> nn.Module:
    return cifar_resnet18(channels)


@build_backbone.register
def _small_resnet(backbone: config.SmallResNet, channels: int) -> nn.Module:
    return SmallResNet(channels, backbone.widths)


@build_backbone.register
def _speednet(backbone: config.SpeedNet, channels: int) -> nn.Module:
    return SpeedNet(channels, backbone.widths)


@build_backbone.register
def _random_features(backbone: config.RandomFeatures, channels: int) -> nn.Module:
    return RandomFeatures(channels, backbone.filters)


def cifar_resnet18(channels: int) -> nn.Module:
    """ResNet-18 (He 2015) with the CIFAR stem: 3x3 convolution, no max-pooling; d = 512.

    11,168,832 parameters for three channels, as in the paper.
    """
    from torchvision.models import resnet18  # here: it takes seconds, and other nets do without

    net = resnet18(weights=None)
    net.conv1 = nn.Conv2d(channels, 64, kernel_size=3, padding=1, bias=False)
    net.maxpool = nn.Identity()
    net.features = net.fc.in_features
    net.fc = nn.Identity()
    return net


class SmallResNet(nn.Module):
    """A 3x3 stem, one basic block (He 2015) per width, global average pooling; d = widths[-1]."""

    def __init__(self, channels: int, widths: tuple[int, ...]):
        super().__init__()
        self.features = widths[-1]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, widths[0], kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        inputs = (widths[0], *widths[:-1])
        self.blocks = nn.Sequential(
            *(
                _Block(before, after, stride=1 if i == 0 else 2)
                for i, (before, after) in enumerate(zip(inputs, widths, strict=True))
            )
        )

    def forward(self, images: Tensor) -> Tensor:
        """Features (n, d)."""
        return self.blocks(self.stem(images)).mean(dim=(2, 3))  # (n, d)


class _Block(nn.Module):
    """Two 3x3 convolutions around a shortcut: the basic block of He 2015, figure 2."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Identity()
        if stride > 1 or before != after:
            project = nn.Conv2d(before, after, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(project, nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class SpeedNet(nn.Module):
    """A narrow net of the family of the CIFAR-10 speedruns (Jordan 2024, arXiv 2404.00498).

    A fixed whitening convolution (2x2, both signs of each principal direction of the training
    patches), then three groups of two 3x3 convolutions with pooling and a residual, then global
    average pooling; d = widths[-1]. The whitening filters are buffers, set by `whiten`.
    """

    def __init__(self, channels: int, widths: tuple[int, int, int]):
        super().__init__()
        self.features = widths[-1]
        patch = channels * 2 * 2
        self.register_buffer("whitening", torch.zeros(2 * patch, channels, 2, 2))
        inputs = (2 * patch, *widths[:-1])
        self.groups = nn.Sequential(
            *(_Group(before, after) for before, after in zip(inputs, widths, strict=True))
        )

    @torch.no_grad()
    def whiten(self, images: Tensor) -> None:
        """Set the stem to W = Lambda^(-1/2) U^T and -W, from normalised training images.

        U Lambda U^T is the second moment of their 2x2 patches; 5e-4 is added to Lambda so that
        directions of almost no variance are not blown up.
        """
        patches = (
            F.unfold(images.contiguous(), kernel_size=2).transpose(1, 2).flatten(0, 1).double()
        )
        moment = patches.T @ patches / len(patches)  # (patch, patch)
        eigenvalues, vectors = torch.linalg.eigh(moment)
        filters = (vectors / (eigenvalues + 5e-4).sqrt()).T.reshape(-1, *self.whitening.shape[1:])
        self.whitening.copy_(torch.cat([filters, -filters]))

    def forward(self, images: Tensor) -> Tensor:
        """Features (n, d)."""
        return self.groups(F.relu(F.conv2d(images, self.whitening))).mean(dim=(2, 3))  # (n, d)


class _Group(nn.Module):
    """Convolution, halving, normalisation; then a second convolution with a shortcut around it."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.widen = nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False)
        self.norm_widen = nn.BatchNorm2d(after)
        self.mix = nn.Conv2d(after, after, kernel_size=3, padding=1, bias=False)
        self.norm_mix = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm_widen(F.max_pool2d(self.widen(x), 2)))
        return x + F.relu(self.norm_mix(self.mix(x)))


class RandomFeatures(nn.Module):
    """One layer of filters that are patches of the training images, and nothing that is trained.

    After Coates, Ng and Lee 2011 (AISTATS), with the random patches and the thresholded activation
    of Coates and Ng 2011 (ICML), and without their contrast normalisation: for both signs of each
    filter relu(+-w (x - mean) - threshold) on 6x6 patches, its mean over each quadrant, and each
    feature standardised; d = 8 filters. All are buffers, set by `whiten`.
    """

    PATCH, STRIDE, THRESHOLD = 6, 2, 0.5

    def __init__(self, channels: int, filters: int):
        super().__init__()
        self.features = 8 * filters
        self.register_buffer("drawn", torch.rand(filters))  # which patches, as a share of all
        shape = (2 * filters, channels, self.PATCH, self.PATCH)
        self.register_buffer("filters", torch.zeros(shape))
        self.register_buffer("bias", torch.zeros(2 * filters))
        self.register_buffer("mean", torch.zeros(self.features))
        self.register_buffer("std", torch.ones(self.features))

    @torch.no_grad()
    def whiten(self, images: Tensor) -> None:
        """Set the filters and the scale of the features, from normalised training images.

        A filter is w = P p / |P p| P with a patch p, less the mean patch, and P = U (Lambda +
        0.01)^(-1/2) U^T, where U Lambda U^T is the covariance of patches that do not overlap.
        """
        patches = F.unfold(images.contiguous(), self.PATCH, stride=self.PATCH)
        patches = patches.transpose(1, 2).flatten(0, 1).double()  # (patch, pixel)
        mean = patches.mean(dim=0)
        eigenvalues, vectors = torch.linalg.eigh(patches.T.cov(correction=0))
        whitening = vectors / (eigenvalues + 0.01).sqrt() @ vectors.T  # (pixel, pixel)
        drawn = patches[(self.drawn.double() * len(patches)).long()] - mean  # (filter, pixel)
        filters = F.normalize(drawn @ whitening) @ whitening
        filters = torch.cat([filters, -filters])
        self.filters.copy_(filters.reshape(self.filters.shape))
        self.bias.copy_(-filters @ mean - self.THRESHOLD)
        features = torch.cat([self._pooled(part) for part in images.split(500)])
        self.mean.copy_(features.mean(dim=0))
        self.std.copy_(features.std(dim=0).clamp_min(0.01))  # of CIFAR-10 the least is 0.09

    def forward(self, images: Tensor) -> Tensor:
        """Features (n, d)."""
        return (self._pooled(images) - self.mean) / self.std

    def _pooled(self, images: Tensor) -> Tensor:
        active = F.relu(F.conv2d(images, self.filters, self.bias, self.STRIDE))
        return F.adaptive_avg_pool2d(active, 2).flatten(1)  # (n, d)
