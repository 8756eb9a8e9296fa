"""Ways of doing the same work, timed in alternation.

Absolute times drift with the machine's other load; ratios of measurements of one round do not.
"""

import math
import random
import time
from collections.abc import Callable, Sequence

import torch

from moelib.study.analyses import FEWEST_REPEATS
from moelib.study.base import ConfigError


def interleave(*candidates: Callable[[], float], repeats: int) -> list[tuple[float, ...]]:
    """Call all once a round, the first round unrecorded; each call returns its own time.

    The order is another one in each round (always the same ones), so that none always follows the
    same other.

    Returns:
        The `repeats` times of each candidate; those of one index are of one round.
    """
    rounds = []
    for turn in range(repeats + 1):
        order = random.Random(turn).sample(range(len(candidates)), len(candidates))
        times = {index: candidates[index]() for index in order}
        rounds.append([times[index] for index in range(len(candidates))])
    return list(zip(*rounds[1:], strict=True))


def milliseconds(work: Callable[[], object], calls: int = 1, device: str = "cpu") -> float:
    """Wall time of one call of `work`, the mean over `calls` calls in a row.

    A GPU works behind the program's back: each call is waited for, so that none overlaps the next.
    """
    finish = torch.cuda.synchronize if device == "cuda" else lambda: None
    finish()
    start = time.perf_counter()
    for _ in range(calls):
        work()
        finish()
    return (time.perf_counter() - start) / calls * 1e3


def race(
    candidates: Sequence[Callable[[], object]],
    repeats: int,
    *,
    at_least: float,
    device: str = "cpu",
) -> list[tuple[float, ...]]:
    """Milliseconds of one call of each candidate, `repeats` times, in alternation and warm.

    Args:
        candidates: what is timed.
        repeats: timings of each candidate.
        at_least: milliseconds that one timing lasts; short work is called several times in it.
        device: where they compute.

    Raises:
        ConfigError: there are too few repeats to show a spread, a timing would last no time, or the
            device is not there.
    """
    if repeats < FEWEST_REPEATS:
        raise ConfigError(
            f"A timing needs at least {FEWEST_REPEATS} repeats to show its spread, not {repeats}."
        )
    if not at_least > 0:
        raise ConfigError(f"A timing must last more than 0 ms, not {at_least:g}.")
    if device not in ("cpu", "cuda"):
        raise ConfigError(f"There is no device '{device}' to time on; there are 'cpu' and 'cuda'.")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("Nothing can be timed on 'cuda': torch finds no CUDA device here.")
    for candidate in candidates:
        candidate()  # the first call allocates, chooses kernels, and may compile
    return interleave(
        *(_timed(candidate, at_least, device) for candidate in candidates), repeats=repeats
    )


def _timed(work: Callable[[], object], at_least: float, device: str) -> Callable[[], float]:
    calls = math.ceil(at_least / milliseconds(work, device=device))
    return lambda: milliseconds(work, calls, device)
