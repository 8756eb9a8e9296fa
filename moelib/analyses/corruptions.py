"""Corrupted images after CIFAR-10-C, made by this project and the same in every run.

Six of the corruptions of Hendrycks and Dietterich 2019 (ICLR), with the strengths that their code
gives for CIFAR-10. Draws differ from those in the published files, so results can be compared with
each other and not, digit by digit, with results on those files.
"""

import io
from typing import get_args

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from moelib.study.analyses import Corruption

PARAMETERS = {  # at strengths 1 to 5; brightness in shares of the full one
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),  # standard deviation, share of full scale
    "shot_noise": (500, 250, 100, 75, 50),  # photons at full brightness
    "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1.0),  # standard deviation, pixels
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),  # added to the largest channel
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),  # factor around the mean of each channel
    "jpeg": (80, 65, 58, 50, 40),  # quality
}


def corrupted(images: np.ndarray, corruption: Corruption, strength: int) -> np.ndarray:
    """The same images under one corruption.

    Noise is drawn from a generator of the corruption and strength alone, image after image: the
    first images are corrupted alike however many follow.

    Args:
        images: uint8 (n, height, width, channel), with one channel or three.
        corruption: which one.
        strength: 1 to 5.

    Returns:
        uint8, of the same shape.
    """
    parameter = PARAMETERS[corruption][strength - 1]
    if corruption == "jpeg":
        return np.stack([_compressed(image, parameter) for image in images])
    x = images / 255  # (n, height, width, channel)
    draw = np.random.default_rng([get_args(Corruption).index(corruption), strength])
    match corruption:
        case "gaussian_noise":
            x = x + parameter * draw.standard_normal(x.shape)
        case "shot_noise":
            x = draw.poisson(parameter * x) / parameter
        case "gaussian_blur":
            x = gaussian_filter(x, parameter, mode="nearest", axes=(1, 2))
        case "brightness":
            x = _brightened(x, parameter)
        case "contrast":
            mean = x.mean(axis=(1, 2), keepdims=True)
            x = mean + parameter * (x - mean)
    return np.uint8(255 * x.clip(0, 1))  # rounded down, as there


def _brightened(x: np.ndarray, step: float) -> np.ndarray:
    """Raise the value V = max(R, G, B) of each pixel; hue and saturation stay what they are."""
    value = x.max(axis=3, keepdims=True)
    raised = (value + step).clip(max=1)
    return np.where(value > 0, x * (raised / np.where(value > 0, value, 1)), raised)


def _compressed(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    mode = image.squeeze(2) if image.shape[2] == 1 else image
    Image.fromarray(mode).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).reshape(image.shape)
