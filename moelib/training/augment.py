"""Augmentation of a batch as one function of tensors, which only the training loop calls.

It is no property of a data set, so no validation set can switch it on or off by accident.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def random_crop_flip(
    images: Tensor, padding: int, flip: bool, generator: torch.Generator
) -> Tensor:
    """Shift images by up to `padding` pixels, zeros coming in, and mirror half of them at random.

    The same distribution as torchvision's RandomCrop(size, padding) and RandomHorizontalFlip, with
    one draw per image. A new tensor is returned; the input stays as it is.

    Shapes: uint8 (n, height, width, channel), to the same. `generator` is of the CPU whatever the
    device of the images is, so that every device sees the same draws.
    """
    offsets, mirrored = draw_crop_flip(len(images), padding, flip, generator)
    cropped = _crop(images, padding, offsets.to(images.device))
    chosen = mirrored.nonzero().squeeze(1).to(images.device)
    return cropped.index_copy_(0, chosen, cropped.index_select(0, chosen).flip(2))


def draw_crop_flip(
    n: int, padding: int, flip: bool, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw each crop's first row and column in its padded image, (n, 2), and who is mirrored, (n,).

    Both are drawn even where one is not used, so that no setting moves the draws of another.
    """
    offsets = torch.randint(2 * padding + 1, (n, 2), generator=generator)  # (n, 2)
    mirrored = torch.rand(n, generator=generator) < 0.5  # (n,)
    return offsets, mirrored & flip


def _crop(images: Tensor, padding: int, offsets: Tensor) -> Tensor:
    """Copy each image's window out of its padded image, one contiguous run of pixels per row."""
    n, height, width, channel = images.shape
    padded = F.pad(images, (0, 0, padding, padding, padding, padding))
    # All runs of `width` pixels, as a view. Copying whole runs is 4 times faster on a CPU than
    # gathering pixels by row and column.
    runs = padded.flatten().unfold(0, width * channel, channel)  # (pixel, width * channel)
    first = torch.arange(n, device=images.device) * padded.shape[1] + offsets[:, 0]  # (n,) row
    rows = first[:, None] + torch.arange(height, device=images.device)  # (n, height)
    starts = rows * padded.shape[2] + offsets[:, 1:]  # (n, height) pixel
    return runs.index_select(0, starts.flatten()).view(images.shape)
