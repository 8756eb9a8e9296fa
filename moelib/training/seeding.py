"""Torch's default generators, seeded for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's default generators seeded for a while; afterwards they are as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        reseed(seed, device)
        yield


def reseed(seed: int, device: torch.device) -> None:
    """Seed torch's default generators of the CPU and of this device.

    `torch.manual_seed` would also note a stack trace for each kind of device that is not there, at
    the cost of a millisecond, and keep it.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)
