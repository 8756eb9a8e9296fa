"""Backbones: sizes, shapes, stems."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18

from moelib.study import backbones as config
from moelib.training.backbones import RandomFeatures, SpeedNet, build_backbone

RESNET18 = config.ResNet18(kind="resnet18")


def small(*widths):
    return config.SmallResNet(kind="small_resnet", widths=widths)


def speed(*widths):
    return config.SpeedNet(kind="speednet", widths=widths)


RANDOM = config.RandomFeatures(kind="random_features", filters=3)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("backbone", "size", "features"),
    [
        (RESNET18, 32, 512),
        (RESNET18, 28, 512),
        (small(4), 8, 4),
        (small(4, 6, 5), 9, 5),
        (speed(4, 5, 6), 32, 6),
        (speed(4, 5, 6), 9, 6),
        (RANDOM, 32, 24),
        (RANDOM, 9, 24),
    ],
    ids=str,
)
@pytest.mark.parametrize("channels", [1, 3])
def test_features_have_the_promised_width(backbone, size, features, channels):
    net = build_backbone(backbone, channels).eval()
    assert net.features == backbone.features == features
    with torch.no_grad():
        assert net(torch.randn(2, channels, size, size)).shape == (2, features)


# -- ResNet-18 ----------------------------------------------------------------------------------


def test_resnet18_has_the_papers_parameters():
    net = build_backbone(RESNET18, 3)
    assert parameters(net) == 11_168_832
    assert len(list(net.parameters())) == 60
    assert sum(b.numel() for b in net.buffers()) == 9_620
    assert parameters(build_backbone(RESNET18, 1)) == 11_168_832 - 2 * 64 * 9


def test_resnet18_has_the_stem_for_small_images_and_no_classifier():
    net = build_backbone(RESNET18, 3)
    stem = net.conv1
    assert (stem.kernel_size, stem.stride, stem.padding) == ((3, 3), (1, 1), (1, 1))
    assert stem.bias is None
    assert isinstance(net.maxpool, nn.Identity) and isinstance(net.fc, nn.Identity)
    reference = {n for n, _ in resnet18(weights=None).named_parameters() if not n.startswith("fc.")}
    assert {name for name, _ in net.named_parameters()} == reference


def test_resnet18_keeps_full_resolution_in_its_first_stage():
    net, shapes = build_backbone(RESNET18, 3).eval(), {}
    for name in ("layer1", "layer2", "layer3", "layer4"):
        module = getattr(net, name)
        module.register_forward_hook(lambda m, i, out, name=name: shapes.update({name: out.shape}))
    with torch.no_grad():
        net(torch.randn(1, 3, 32, 32))
    assert [tuple(shape[1:]) for shape in shapes.values()] == [
        (64, 32, 32),
        (128, 16, 16),
        (256, 8, 8),
        (512, 4, 4),
    ]


# -- small ResNet -------------------------------------------------------------------------------


def test_small_resnet_counts():
    # Stem: 3 * 4 * 9 + 8. A block a -> b: 9 a b + 9 b b + 4 b, and a b + 2 b where shapes change.
    assert parameters(build_backbone(small(4), 3)) == 116 + (2 * 144 + 16)
    block = 4 * 6 * 9 + 6 * 6 * 9 + 24 + (4 * 6 + 12)
    assert parameters(build_backbone(small(4, 6), 3)) == 116 + (2 * 144 + 16) + block


def test_small_resnet_halves_at_each_width_but_the_first():
    net = build_backbone(small(4, 4, 8), 3).eval()
    x = net.stem(torch.randn(1, 3, 16, 16))
    sizes = []
    for block in net.blocks:
        x = block(x)
        sizes.append(tuple(x.shape[1:]))
    assert sizes == [(4, 16, 16), (4, 8, 8), (8, 4, 4)]


def test_small_resnet_averages_over_all_pixels():
    net = build_backbone(small(4), 1).eval()
    images = torch.randn(2, 1, 6, 7)
    with torch.no_grad():
        maps = net.blocks(net.stem(images))
        torch.testing.assert_close(net(images), maps.sum(dim=(2, 3)) / 42)


# -- SpeedNet -----------------------------------------------------------------------------------


def correlated_images(n=200, channels=3, size=8):
    """Smooth images with channels of different scale, so that patches are far from white."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(n, channels, size + 2, size + 2, generator=generator)
    scale = torch.tensor([1.0, 2.0, 5.0])[:channels, None, None]
    images = F.avg_pool2d(images, 3, stride=1) * scale
    return images.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", [1, 3])
def test_whitening_gives_patches_an_identity_as_second_moment(channels):
    images = correlated_images(channels=channels)
    net = SpeedNet(channels, (4, 4, 4))
    net.whiten(images)
    responses = F.conv2d(images.double(), net.whitening.double())  # (n, 2 patch, 7, 7)
    patch = 4 * channels
    positive, negative = responses.transpose(0, 1).flatten(1).split(patch)
    torch.testing.assert_close(negative, -positive, rtol=0, atol=0)
    moment = positive @ positive.T / positive.shape[1]
    # Not quite 1: 5e-4 is added to eigenvalues, of which the least is above 0.01 here.
    torch.testing.assert_close(moment, torch.eye(patch, dtype=moment.dtype), rtol=0, atol=0.05)
    off_diagonal = moment - moment.diag().diag()
    assert off_diagonal.abs().max() < 1e-5  # filters are float32


def test_whitening_survives_directions_without_variance():
    images = correlated_images()
    images[:, 2] = images[:, 1]
    net = SpeedNet(3, (4, 4, 4))
    net.whiten(images)
    assert net.whitening.isfinite().all()
    assert net.whitening.abs().max() <= 5e-4**-0.5


def test_the_stem_is_a_buffer_that_training_leaves_alone():
    net = SpeedNet(3, (4, 4, 4))
    net.whiten(correlated_images())
    assert "whitening" in net.state_dict()
    assert all(name != "whitening" for name, _ in net.named_parameters())
    before = net.whitening.clone()
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    net(correlated_images(n=4, size=12)).sum().backward()
    optimizer.step()
    assert torch.equal(net.whitening, before)


def test_speednet_counts():
    # A group a -> b: a b 9 + b b 9 + 4 b.
    groups = [(24, 16), (16, 64), (64, 128)]
    expected = sum(9 * a * b + 9 * b * b + 4 * b for a, b in groups)
    assert parameters(SpeedNet(3, (16, 64, 128))) == expected


# -- Random features ----------------------------------------------------------------------------


def whitened(images, filters=5):
    torch.manual_seed(0)
    net = RandomFeatures(images.shape[1], filters)
    net.whiten(images)
    return net


@pytest.mark.parametrize("channels", [1, 3])
def test_random_features_are_those_of_a_loop_over_patches(channels):
    """Each patch less the mean patch, whitened, and compared with a whitened unit patch."""
    images = correlated_images(channels=channels, size=12)
    net, size = whitened(images), RandomFeatures.PATCH
    corners = [(0, 0), (0, size), (size, 0), (size, size)]  # of patches that do not overlap
    patches = torch.stack(
        [image[:, r : r + size, c : c + size].flatten() for image in images for r, c in corners]
    ).double()
    mean = patches.mean(dim=0)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T, correction=0))
    root = vectors @ torch.diag((values + 0.01) ** -0.5) @ vectors.T
    indices = [int(share * len(patches)) for share in net.drawn.double()]
    words = torch.stack([root @ (patches[i] - mean) for i in indices])
    words = words / words.norm(dim=1, keepdim=True)

    means = net._pooled(images[:3])  # (3, 8 filter)
    steps = range(0, 12 - size + 1, RandomFeatures.STRIDE)  # 4 positions a side: 2 a quadrant
    for image, row in zip(images[:3].double(), means, strict=True):
        maps = torch.zeros(10, 4, 4, dtype=torch.float64)
        for i, r in enumerate(steps):
            for j, c in enumerate(steps):
                patch = root @ (image[:, r : r + size, c : c + size].flatten() - mean)
                maps[:5, i, j], maps[5:, i, j] = words @ patch, -words @ patch
        maps = (maps - RandomFeatures.THRESHOLD).clamp_min(0)
        quadrants = [maps[:, a : a + 2, b : b + 2].mean(dim=(1, 2)) for a in (0, 2) for b in (0, 2)]
        expected = torch.stack(quadrants, dim=1).flatten()
        # float32 filters against float64
        torch.testing.assert_close(row.double(), expected, rtol=1e-4, atol=1e-4)


def test_random_features_are_standardised_on_the_images_that_set_them():
    images = correlated_images(size=12)
    net = whitened(images)
    features = net(images)
    torch.testing.assert_close(features.mean(dim=0), torch.zeros(40), rtol=0, atol=1e-5)
    live = net.std > 0.011  # the scale of one that is nearly silent is bounded
    assert live.sum() >= 20
    torch.testing.assert_close(features[:, live].std(dim=0), torch.ones(int(live.sum())))


def test_random_features_train_nothing_and_keep_all_in_buffers():
    images = correlated_images(size=12)
    net = whitened(images)
    assert not list(net.parameters())
    torch.manual_seed(1)  # other patches
    other = RandomFeatures(3, 5)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(images), net(images))


def test_random_features_are_drawn_from_the_default_generator():
    images = correlated_images(size=12)
    first, repeated = whitened(images), whitened(images)
    assert torch.equal(first.filters, repeated.filters)
    torch.manual_seed(1)
    other = RandomFeatures(3, 5)
    other.whiten(images)
    assert not torch.equal(other.filters, first.filters)
