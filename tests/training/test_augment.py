"""Crop and flip: against torchvision image by image, and as a function of its arguments alone."""

import pytest
import torch
import torchvision.transforms.functional as TF

from moelib.training.augment import draw_crop_flip, random_crop_flip

SIZES = [(7, 32, 32, 3), (5, 8, 8, 1), (6, 5, 9, 3)]


def images(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=generator)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def naive(batch: torch.Tensor, padding: int, flip: bool, rng: torch.Generator) -> torch.Tensor:
    """Pad, crop, mirror, one image after the other, by torchvision, on the same draws."""
    offsets, mirrored = draw_crop_flip(len(batch), padding, flip, rng)
    height, width = batch.shape[1:3]
    out = []
    for image, (top, left), mirror in zip(batch, offsets.tolist(), mirrored, strict=True):
        planes = TF.crop(TF.pad(image.permute(2, 0, 1), padding), top, left, height, width)
        planes = TF.hflip(planes) if mirror else planes
        out.append(planes.permute(1, 2, 0))
    return torch.stack(out)


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("flip", [False, True])
def test_equals_torchvision_image_by_image(shape, padding, flip):
    batch = images(*shape)
    result = random_crop_flip(batch, padding, flip, generator())
    assert torch.equal(result, naive(batch, padding, flip, generator()))


def test_takes_a_batch_that_is_a_view():
    batch = images(4, 3, 10, 6).permute(0, 2, 3, 1)  # not contiguous
    result = random_crop_flip(batch, 2, True, generator())
    assert torch.equal(result, naive(batch, 2, True, generator()))


def test_changes_the_batch_but_not_its_input():
    batch = images(16, 8, 8, 3)
    before = batch.clone()
    result = random_crop_flip(batch, 4, True, generator())
    assert not torch.equal(result, before)
    assert torch.equal(batch, before)
    assert result.data_ptr() != batch.data_ptr()


def test_identity_without_padding_and_flip():
    batch = images(16, 8, 8, 3)
    assert torch.equal(random_crop_flip(batch, 0, False, generator()), batch)


def test_draws_from_the_given_generator_alone():
    batch = images(16, 8, 8, 3)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = random_crop_flip(batch, 4, True, generator(3))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(random_crop_flip(batch, 4, True, generator(3)), first)
    assert not torch.equal(random_crop_flip(batch, 4, True, generator(4)), first)
    rng = generator(3)
    random_crop_flip(batch, 4, True, rng)
    assert not torch.equal(random_crop_flip(batch, 4, True, rng), first), "batches must differ"


def test_no_setting_moves_the_draws_of_another():
    with_flip, _ = draw_crop_flip(50, 4, True, generator())
    without, _ = draw_crop_flip(50, 4, False, generator())
    assert torch.equal(with_flip, without)
    _, with_crop = draw_crop_flip(50, 4, True, generator())
    _, uncropped = draw_crop_flip(50, 0, True, generator())
    assert torch.equal(with_crop, uncropped)


def test_every_offset_is_as_likely_and_half_are_mirrored():
    n, padding = 81_000, 4
    offsets, mirrored = draw_crop_flip(n, padding, True, generator())
    counts = torch.bincount(offsets[:, 0] * 9 + offsets[:, 1], minlength=81)
    # 81 binomial counts of mean 1,000 and deviation 31.4: 5 deviations for the largest.
    assert len(counts) == 81 and (counts - 1000).abs().max() < 5 * 31.4
    assert abs(mirrored.double().mean() - 0.5) < 5 * 0.5 / n**0.5
    assert not draw_crop_flip(n, padding, False, generator())[1].any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_is_the_same_on_a_gpu():
    batch = images(64, 32, 32, 3)
    on_gpu = random_crop_flip(batch.cuda(), 4, True, generator())
    assert on_gpu.is_cuda
    assert torch.equal(on_gpu.cpu(), random_crop_flip(batch, 4, True, generator()))
