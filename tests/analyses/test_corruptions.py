"""Corruptions: deterministic, of the strength that is asked for, and each against a closed form."""

import colorsys
from typing import get_args

import numpy as np
import pytest

from moelib.analyses.corruptions import PARAMETERS, corrupted
from moelib.study.analyses import Corruption

NAMES = get_args(Corruption)


def photos(n=6, size=16, channels=3):
    """Smooth gradients with a bright square: something for blur and JPEG to change."""
    draw = np.random.default_rng(0)
    ramp = np.linspace(40, 200, size)
    images = np.tile(ramp[:, None, None], (n, 1, size, channels)) + draw.normal(
        0, 20, (n, size, size, channels)
    )
    images[:, 4:9, 4:9] = 230
    return images.clip(0, 255).astype(np.uint8)


def distance(first, second):
    return np.abs(first.astype(float) - second).mean()


def test_every_corruption_has_its_five_strengths():
    assert set(PARAMETERS) == set(NAMES)
    assert all(len(values) == 5 for values in PARAMETERS.values())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_stronger_is_farther_from_the_image(name, channels):
    images = photos(channels=channels)
    before = images.copy()
    levels = [corrupted(images, name, level) for level in range(1, 6)]
    assert all(out.dtype == np.uint8 and out.shape == images.shape for out in levels)
    assert np.array_equal(images, before)
    distances = [distance(out, images) for out in levels]
    assert 0 < distances[0] and sorted(distances) == distances


@pytest.mark.parametrize("name", NAMES)
def test_the_same_images_are_corrupted_alike_however_many_follow(name):
    images = photos(n=8)
    first = corrupted(images, name, 3)
    assert np.array_equal(first, corrupted(images, name, 3))
    assert np.array_equal(first[:5], corrupted(images[:5], name, 3))


def test_gaussian_noise_has_its_deviation():
    grey = np.full((20, 32, 32, 3), 128, np.uint8)
    noise = corrupted(grey, "gaussian_noise", 2) / 255 - 128 / 255
    # 61,440 draws: the deviation's standard error is 0.3 %; rounding down adds 0.4 %.
    assert noise.std() == pytest.approx(0.06, rel=0.02)
    assert noise.mean() == pytest.approx(-0.5 / 255, abs=0.001)  # rounded down


def test_shot_noise_has_the_variance_of_photons():
    for level, share in ((51, 0.2), (102, 0.4)):  # so dark that nothing is clipped
        flat = np.full((20, 32, 32, 3), level, np.uint8)
        noise = corrupted(flat, "shot_noise", 5) / 255
        assert noise.std() == pytest.approx((share / 50) ** 0.5, rel=0.02)


def test_blur_spreads_a_point_as_a_gaussian_does():
    point = np.zeros((1, 9, 9, 3), np.uint8)
    point[0, 4, 4] = 255
    spread = corrupted(point, "gaussian_blur", 5)[0, 4, :, 0]
    weights = np.exp(-0.5 * np.arange(-4, 5) ** 2.0)
    weights /= weights.sum()
    assert np.array_equal(spread, np.floor(255 * weights[4] * weights + 1e-9))


def test_brightness_raises_the_value_and_keeps_the_hue():
    pixel = np.array([[[[120, 60, 30]]]], np.uint8)
    hue, saturation, value = colorsys.rgb_to_hsv(*(pixel[0, 0, 0] / 255))
    expected = colorsys.hsv_to_rgb(hue, saturation, value + 0.15)
    colour = corrupted(pixel, "brightness", 3)[0, 0, 0] / 255
    assert colour == pytest.approx(expected, abs=1 / 255)  # rounded down
    assert (corrupted(pixel * 0, "brightness", 3) == 38).all()  # black has no hue: 0.15 x 255


def test_contrast_is_a_factor_around_the_mean():
    image = np.array([[[[100], [200]]]], np.uint8)
    assert corrupted(image, "contrast", 2).flatten().tolist() == [125, 175]


def test_jpeg_is_that_of_pillow():
    import io

    from PIL import Image

    image = photos(n=1)[0]
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=58)
    expected = np.asarray(Image.open(file))
    assert np.array_equal(corrupted(image[None], "jpeg", 3)[0], expected)
