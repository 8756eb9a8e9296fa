"""Augmented training images per second: batched tensor code against a DataLoader with transforms.

The batched path gathers a batch of uint8 images, crops, flips and normalises it, in one process on
one thread. The DataLoader does the same image by image with torchvision's transforms, in two worker
processes, as the authors' code does. Both deliver the same batches, of the same distribution, from
45,000 images of CIFAR-10's shape and of random bytes. They are timed in alternation, so that the
machine's other load falls on both; a repeat gives one ratio, and medians and quartiles are over
repeats. Before each timing the same path runs untimed: the workers, started once, fill their queue
while they compete with nothing that is timed, and no batch counts that was ready before.
"""

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Iterator

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from moelib.augment import random_crop_flip
from moelib.data import CIFAR10_MEAN, CIFAR10_STD, Split, normalise

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


def images_per_second(batches: Iterator[tuple[Tensor, Tensor]], count: int) -> float:
    """Rate over `count` batches of a running stream."""
    start = time.perf_counter()
    images = sum(len(labels) for _, labels in itertools.islice(batches, count))
    return images / (time.perf_counter() - start)


def measure(repeats: int) -> dict:
    """Images per second of both paths, and the ratio batched / loader of each repeat."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    split = synthetic()
    streams = {"batched": batched(split), "loader": loader(split)}
    for stream in streams.values():
        images_per_second(stream, 10)
    rates: dict[str, list[float]] = {name: [] for name in streams}
    for _ in range(repeats):
        for name, stream in streams.items():
            images_per_second(stream, UNTIMED[name])
            rates[name].append(images_per_second(stream, TIMED[name]))
    torch.set_num_threads(threads)
    ratios = [a / b for a, b in zip(rates["batched"], rates["loader"], strict=True)]
    results = {"batch": BATCH, "workers": WORKERS}
    results |= {name: _summary(values) for name, values in rates.items()}
    return results | {"ratio": _summary(ratios)}


def _summary(values: list[float]) -> dict[str, float | list[float]]:
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "quartiles": [low, high], "values": values}


def main() -> None:
    """Measure and print; `--json` keeps every repeat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = measure(arguments.repeats)
    if arguments.json:
        print(json.dumps(results))
        return
    for name in ("batched", "loader", "ratio"):
        low, high = results[name]["quartiles"]
        unit = "" if name == "ratio" else "images/s"
        print(f"{name:8} {results[name]['median']:10,.1f} ({low:,.1f} to {high:,.1f}) {unit}")


if __name__ == "__main__":
    main()
