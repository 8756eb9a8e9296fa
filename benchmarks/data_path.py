"""Augmented training images per second: batched tensor code against a DataLoader with transforms.

The batched path gathers a batch of uint8 images, crops, flips and normalises it, in one process on
one thread. The DataLoader does the same image by image with torchvision's transforms, in two worker
processes, as the authors' code does. Both deliver the same batches, of the same distribution, from
45,000 images of CIFAR-10's shape and of random bytes. They are timed in alternation, so that the
machine's other load falls on both; a repeat gives one ratio, and medians and quartiles are over
repeats. Before each timing the same path runs untimed: the workers, started once, fill their queue
while they compete with nothing that is timed, and no batch counts that was ready before.
"""

import itertools
import time
from collections.abc import Iterator

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from moelib.analyses.benchmark import run_benchmark
from moelib.analyses.timing import interleave
from moelib.records.benchmarks import BenchmarkNumbers, Case
from moelib.training.augment import random_crop_flip
from moelib.training.data import CIFAR10_MEAN, CIFAR10_STD, Split, normalise

IMAGES, BATCH, PADDING, WORKERS = 45_000, 128, 4, 2
AHEAD = 2 * WORKERS  # batches that the workers hold ready
UNTIMED = {"batched": 200, "loader": AHEAD}  # batches before each timing
TIMED = {"batched": 200, "loader": 30}


def synthetic() -> Split:
    """Random bytes in the shape of CIFAR-10's training split."""
    generator = torch.Generator().manual_seed(0)
    shape = (IMAGES, 32, 32, 3)
    return Split(
        torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
        torch.randint(0, 10, (IMAGES,), generator=generator),
    )


def batched(split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless augmented batches, epoch after epoch, by moelib's path."""
    generator = torch.Generator().manual_seed(0)
    mean, std = 255 * torch.tensor(CIFAR10_MEAN), 255 * torch.tensor(CIFAR10_STD)
    while True:
        for chosen in torch.randperm(len(split), generator=generator).split(BATCH):
            batch = split.take(chosen)
            images = random_crop_flip(batch.images, PADDING, True, generator)
            yield normalise(images, mean, std), batch.labels


class PerImage(Dataset):
    """The same images as torchvision serves CIFAR-10: each through PIL and its own transforms."""

    def __init__(self, split: Split):
        self.images, self.labels = split.images.numpy(), split.labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=PADDING),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(CIFAR10_MEAN, CIFAR10_STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def loader(split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless augmented batches by a DataLoader."""
    batches = DataLoader(
        PerImage(split),
        batch_size=BATCH,
        shuffle=True,
        num_workers=WORKERS,
        prefetch_factor=AHEAD // WORKERS,
        persistent_workers=True,
    )
    while True:
        yield from batches


def microseconds_per_image(batches: Iterator[tuple[Tensor, Tensor]], stream: str) -> float:
    """Time per image of a running stream, after some untimed batches."""
    for _ in itertools.islice(batches, UNTIMED[stream]):
        pass
    start = time.perf_counter()
    images = sum(len(labels) for _, labels in itertools.islice(batches, TIMED[stream]))
    return (time.perf_counter() - start) / images * 1e6


def measure(repeats: int) -> BenchmarkNumbers:
    """Time per augmented image, batched and by a DataLoader."""
    split = synthetic()
    streams = {"batched": batched(split), "loader": loader(split)}
    baseline, candidate = interleave(
        lambda: microseconds_per_image(streams["loader"], "loader"),
        lambda: microseconds_per_image(streams["batched"], "batched"),
        repeats=repeats,
    )
    return BenchmarkNumbers(
        name="data_path",
        question="How much faster do augmented training images arrive?",
        baseline=f"DataLoader, per-image torchvision transforms, {WORKERS} workers",
        candidate="whole split as uint8 tensors, augmentation batched, one thread",
        unit="µs per image",
        cases=(
            Case(
                setting={"batch": BATCH, "image": "32 x 32 x 3"},
                baseline=baseline,
                candidate=candidate,
                target_ratio=10.0,
            ),
        ),
    )


if __name__ == "__main__":
    run_benchmark(__file__, measure, repeats=11)
