"""The training images of one epoch, in random order and augmented."""

from collections.abc import Iterator

import torch
from torch import Tensor

from moelib.study.run import Run
from moelib.study.training import Training
from moelib.training.augment import random_crop_flip
from moelib.training.data import Dataset
from moelib.training.evaluate import network_input


def epoch_batches(
    run: Run, training: Training, dataset: Dataset, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of images (n, channel, height, width) and labels (n,): every training image once.

    They are augmented if the protocol says so. Order and augmentation come from streams of the
    run's seed and the epoch, drawn on the CPU, so that they are the same on every device.
    """
    split, data = dataset.train, run.study.data
    order, augmentation = (
        torch.Generator().manual_seed(run.paired_stream(name, epoch))
        for name in ("order", "augmentation")
    )
    permutation = torch.randperm(len(split), generator=order).to(training.device)
    for rows in permutation.split(training.batch_size):
        batch = split.take(rows)
        images = batch.images  # (n, height, width, channel)
        if run.study.protocol.augment:
            images = random_crop_flip(images, data.crop_padding, data.flip, augmentation)
        yield network_input(images, dataset, training.channels_last), batch.labels
