"""Images as three tensors: read, checked, split and described once, before anything is trained.

The images of a split are uint8 (n, height, width, channel), so that a batch is a gather of
contiguous pixels; `normalise` makes the network's input of it.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from moelib.study.base import PROJECT, ConfigError
from moelib.study.data import Data

T = TypeVar("T")

# The paper's constants for CIFAR-10, as shares of full brightness.
CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)


@dataclass(frozen=True, eq=False)
class Split:
    """Images, uint8 (n, height, width, channel), and their classes, int64 (n,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> "Split":
        """Give the same split on a device."""
        return Split(self.images.to(device), self.labels.to(device))

    def take(self, index: Tensor) -> "Split":
        """Copy the images of an index, int64 (n,), in its order."""
        # index_select copies whole images; `images[index]` takes five times as long on a CPU.
        return Split(self.images.index_select(0, index), self.labels.index_select(0, index))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits, and what is known of them.

    `mean` and `std` are float32 (channel,) in units of 0..255; `digest` is the SHA-256 of the bytes
    of all images and labels, in the order of the splits.
    """

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    mean: Tensor
    std: Tensor
    digest: str

    def to(self, device: torch.device | str) -> "Dataset":
        """Give the same data on a device."""
        splits = (split.to(device) for split in (self.train, self.validation, self.test))
        return Dataset(
            *splits, self.classes, self.mean.to(device), self.std.to(device), self.digest
        )


def load_data(data: Data) -> Dataset:
    """Read a study's images and split them by its `split_seed`, whatever torch's global seed is.

    CIFAR-10 keeps its official test set; of the others `test_share` is held out first. Then
    `validation_share` of the rest is held out.

    Raises:
        ConfigError: the images are missing, damaged, cannot be downloaded, do not fit together, or
            are too few for the shares.
    """
    generator = torch.Generator().manual_seed(data.split_seed)
    root = data_root(data)
    if data.source == "cifar10":
        rest, test, classes = _read_cifar10(root)
    else:
        pool, classes = READERS[data.source](root)
        rest, test = hold_out(pool, data.test_share, generator)
    train, validation = hold_out(rest, data.validation_share, generator)
    _refuse_empty(train, validation, test)
    if data.source == "cifar10":
        mean, std = 255 * torch.tensor(CIFAR10_MEAN), 255 * torch.tensor(CIFAR10_STD)
    else:
        mean, std = _brightness(train.images)
    digest = _digest((train, validation, test))
    return Dataset(train, validation, test, classes, mean, std, digest)


def data_root(data: Data) -> Path:
    """Give the folder of the images: the study's, else $MOELIB_DATA, else data/ in the checkout.

    A relative one starts at the checkout, since notebooks and workflows run in other folders.
    """
    return PROJECT / Path(data.root or os.environ.get("MOELIB_DATA") or "data").expanduser()


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Make (image - mean) / std of uint8 images (n, height, width, channel).

    Returns float32 (n, channel, height, width), in channels-last memory.
    """
    width = images.shape[2]
    # Rows as one axis: long inner loops, where a last axis of three channels takes twice as long.
    pixels = images.flatten(2).float().sub_(mean.repeat(width)).div_(std.repeat(width))
    return pixels.view(images.shape).permute(0, 3, 1, 2)


def hold_out(pool: Split, share: float, generator: torch.Generator) -> tuple[Split, Split]:
    """Split at random into the rest and a share, as `torch.utils.data.random_split` does."""
    order = torch.randperm(len(pool), generator=generator)
    kept = len(pool) - round(share * len(pool))
    return pool.take(order[:kept]), pool.take(order[kept:])


# -- sources ------------------------------------------------------------------------------------
# Their libraries take seconds to import, and no study needs all: each reader imports its own.


def _read_cifar10(root: Path) -> tuple[Split, Split, tuple[str, ...]]:
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is a file; data.root or MOELIB_DATA must name a folder.")
    folder = root / CIFAR10.base_folder
    sums = dict([*CIFAR10.train_list, *CIFAR10.test_list])
    sums[CIFAR10.meta["filename"]] = CIFAR10.meta["md5"]
    present = [folder / name for name in sums if (folder / name).exists()]
    for path in present:
        if not check_integrity(path, sums[path.name]):
            raise ConfigError(
                f"{path} is damaged: its MD5 sum is not the official one of CIFAR-10."
                " Delete it, and it is downloaded again."
            )
    if len(present) < len(sums):
        _download_cifar10(root)
    train, test = (CIFAR10(root, train=official) for official in (True, False))
    return (
        _as_split(train.data, train.targets),
        _as_split(test.data, test.targets),
        tuple(train.classes),
    )


def _download_cifar10(root: Path) -> None:
    """Unpack the official archive, from the root if it lies there, into the root.

    All is done in a folder of its own and files are moved when they are whole: a download that is
    killed, or two at once, leave nothing that is later taken for data.
    """
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity, download_url, extract_archive

    local = root / CIFAR10.filename
    whole = check_integrity(local, CIFAR10.tgz_md5)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as scratch:
            archive = local if whole else Path(scratch, CIFAR10.filename)
            if not whole:
                download_url(CIFAR10.url, scratch, CIFAR10.filename, CIFAR10.tgz_md5)
            extract_archive(archive, scratch)
            (root / CIFAR10.base_folder).mkdir(exist_ok=True)
            for path in Path(scratch, CIFAR10.base_folder).iterdir():
                path.replace(root / CIFAR10.base_folder / path.name)
    except (OSError, RuntimeError, HTTPException) as error:
        damage = f"{local} is damaged: its MD5 sum is not the official one. "
        raise ConfigError(
            f"CIFAR-10 is not whole in {root} and could not be downloaded from {CIFAR10.url}"
            f" ({error}). {damage if local.exists() and not whole else ''}Put {CIFAR10.filename} or"
            f" the folder {CIFAR10.base_folder} there, or name another folder with data.root or"
            " MOELIB_DATA."
        ) from None


def _read_digits(_: Path) -> tuple[Split, tuple[str, ...]]:
    # The file that sklearn.datasets.load_digits reads: to import that takes every notebook seconds.
    (package,) = find_spec("sklearn").submodule_search_locations
    rows = np.loadtxt(Path(package, "datasets", "data", "digits.csv.gz"), delimiter=",")  # (n, 65)
    images = np.rint(rows[:, :-1] * 255 / 16).astype(np.uint8)  # levels 0..16 to 0..255
    classes = tuple(map(str, range(10)))
    return _as_split(images.reshape(-1, 8, 8, 1), rows[:, -1].astype(np.int64)), classes


def _read_folder(root: Path) -> tuple[Split, tuple[str, ...]]:
    from torchvision.datasets import ImageFolder

    if not root.is_dir():
        raise ConfigError(f"There is no folder {root}; data.root must name one.")
    try:
        folder = ImageFolder(root)
    except FileNotFoundError as error:
        raise ConfigError(f"{root} must hold one folder of images per class: {error}") from None
    if len(folder.classes) < 2:
        raise ConfigError(f"{root} holds one class only, {folder.classes[0]}; two are needed.")
    paths, labels = zip(*folder.samples, strict=True)
    mode = "L" if _all_grey(paths) else "RGB"
    images = np.stack([_read_image(path, mode) for path in paths])
    return _as_split(images.reshape(*images.shape[:3], len(mode)), labels), tuple(folder.classes)


# Each gives all images (n, height, width, channel) and the names of the classes, from the root.
READERS = {"digits": _read_digits, "folder": _read_folder}


def _all_grey(paths: Iterable[str]) -> bool:
    """Look at the headers of all images: one size, eight bits; tell whether none has colours."""
    grey, first = True, None
    for path in paths:
        size, mode = _open(path, lambda image: (image.size, image.mode))
        first = first or (path, size)
        if size != first[1]:
            raise ConfigError(
                "All images must have the same size in pixels (width x height):"
                f" {path} is {size[0]} x {size[1]}, {first[0]} is {first[1][0]} x {first[1][1]}."
            )
        if mode.startswith(("I", "F")):
            raise ConfigError(f"{path} has more than 8 bits per channel; convert it to 8 bits.")
        grey = grey and mode in {"1", "L"}
    return grey


def _read_image(path: str, mode: str) -> np.ndarray:
    return _open(path, lambda image: np.asarray(image.convert(mode)))


def _open(path: str, read: Callable[[Image.Image], T]) -> T:
    try:
        with Image.open(path) as image:
            return read(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ConfigError(f"{path} cannot be read as an image: {error}.") from None


# -- what is known of the images ----------------------------------------------------------------


def _as_split(images: np.ndarray, labels: Iterable[int]) -> Split:
    # torchvision's CIFAR-10 is a transposed view of channel planes; here pixels lie together.
    return Split(torch.from_numpy(images).contiguous(), torch.as_tensor(labels, dtype=torch.int64))


def _refuse_empty(train: Split, validation: Split, test: Split) -> None:
    if not (len(train) and len(validation) and len(test)):
        raise ConfigError(
            f"The shares leave {len(train)} training, {len(validation)} validation and {len(test)}"
            " test images; each needs one at least: change data.validation_share or"
            " data.test_share, or give more images."
        )


def _brightness(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation of each channel, exact by way of a histogram."""
    channels = images.flatten(0, 2).unbind(1)
    counts = torch.stack([torch.bincount(c, minlength=256) for c in channels])
    share = counts.double() / len(channels[0])  # (channel, 256)
    level = torch.arange(256, dtype=torch.float64)
    mean = share @ level  # (channel,)
    std = (share * (level - mean[:, None]) ** 2).sum(1).sqrt()  # (channel,)
    if not std.all():
        raise ConfigError("A channel of the training images is constant: nothing can be learned.")
    return mean.float(), std.float()


def _digest(splits: Iterable[Split]) -> str:
    sha256 = hashlib.sha256()
    for split in splits:
        sha256.update(split.images.numpy())
        sha256.update(split.labels.numpy())
    return sha256.hexdigest()
