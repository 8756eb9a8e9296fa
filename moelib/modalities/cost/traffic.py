"""Expert parallelism: what a routing sends between devices that hold the experts.

Everything here takes plain arrays, so that a trained router's choices and a synthetic trace are
judged alike, and nothing is measured: these are counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from moelib.records.cost import TrafficCase
from moelib.study.base import ConfigError

NONE = -1  # in choices: a slot that is not executed
DEVICES = (2, 4, 8)


@dataclass(frozen=True)
class Traffic:
    """Counts of one layer's pass."""

    tokens: int
    choices: int  # executed
    leaving: float  # share of tokens with at least one choice on another device than their own
    away: float  # share of choices on another device
    sent: np.ndarray  # (g, g) tokens sent from a device to another, each once for all its choices
    loads: np.ndarray  # (g,) choices executed on each device

    @property
    def copies(self) -> int:
        """Tokens that are sent, counted once for each device that they are sent to."""
        return int(self.sent.sum())

    @property
    def busiest_link(self) -> int:
        """Most tokens that one device sends, or receives."""
        return int(max(self.sent.sum(axis=0).max(), self.sent.sum(axis=1).max()))

    @property
    def imbalance(self) -> float:
        """Choices on the busiest device by the mean: 1 is even."""
        return float(self.loads.max() / self.loads.mean()) if self.choices else 1.0

    def moved(self, width: int, size: int = 2) -> int:
        """Bytes of one layer: hidden states (d numbers of `size` bytes) out, and results back."""
        return 2 * self.copies * width * size


def count(choices: np.ndarray, home: np.ndarray, device: np.ndarray) -> Traffic:
    """What tokens with these choices send.

    Args:
        choices: (n, k) experts of each token, none twice; `NONE` where a slot is not executed.
        home: (n,) the device on which each token lives.
        device: (e,) the device that holds each expert.

    Raises:
        ConfigError: shapes do not fit, or an expert, device or home is out of range.
    """
    _check(choices, home, device)
    devices = int(device.max()) + 1
    executed = choices != NONE  # (n, k)
    held = np.where(executed, device[np.where(executed, choices, 0)], home[:, None])  # (n, k)
    n = len(choices)
    visits = np.zeros((n, devices), dtype=bool)
    visits[np.arange(n)[:, None], held] = True
    visits[np.arange(n), home] = False
    sent = np.zeros((devices, devices), dtype=np.int64)
    np.add.at(sent, home, visits)
    away = (held != home[:, None]) & executed
    total = int(executed.sum())
    return Traffic(
        tokens=n,
        choices=total,
        leaving=float(visits.any(axis=1).mean()) if n else 0.0,
        away=float(away.sum() / total) if total else 0.0,
        sent=sent,
        loads=np.bincount(held[executed], minlength=devices),
    )


def in_order(experts: int, devices: int) -> np.ndarray:
    """Devices (e,) of experts in the order of their numbers, equally many on each.

    >>> in_order(4, 2).tolist()
    [0, 0, 1, 1]

    Raises:
        ConfigError: they cannot be shared evenly.
    """
    if devices < 1 or experts % devices:
        raise ConfigError(f"{experts} experts cannot be placed evenly on {devices} devices.")
    return np.repeat(np.arange(devices), experts // devices)


def by_modality(loads: np.ndarray, devices: int) -> np.ndarray:
    """Devices (e,) of experts sorted by the share of words in their load (SMoES's bins).

    Args:
        loads: (2, e) choices of words and of patches; the first devices get the experts of words.
        devices: on how many; equally many experts on each.
    """
    total = loads.sum(axis=0)
    share = np.divide(loads[0], total, out=np.full(len(total), 0.5), where=total > 0)
    placed = np.empty(len(total), dtype=np.int64)
    placed[np.argsort(-share, kind="stable")] = in_order(len(total), devices)
    return placed


def homes_of_sequences(sequences: np.ndarray, devices: int) -> np.ndarray:
    """Homes (n,) where sequences (n,) are dealt out in turn, as data parallelism does."""
    return sequences % devices


def homes_of_modalities(modality: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Homes (n,) where tokens of a modality are dealt in turn to the devices that it lives on.

    Args:
        modality: (n,) 0 for words, 1 for patches.
        shares: (2, g) as of `homes_by_work`.
    """
    homes = np.empty(len(modality), dtype=np.int64)
    for kind in (0, 1):
        mine, own = np.flatnonzero(modality == kind), np.flatnonzero(shares[kind])
        homes[mine] = own[np.arange(len(mine)) % len(own)]
    return homes


def homes_by_work(loads: np.ndarray, device: np.ndarray, devices: int) -> np.ndarray:
    """Share (2, g) of a modality's tokens on each device, where they live with their work.

    Devices are ranked by the share of words in the work that they get; words take as many from the
    front as their share of all work is worth, at least one, and patches the rest.

    Args:
        loads: (2, e) choices of words and of patches.
        device: (e,) the device that holds each expert.
        devices: how many there are.
    """
    work = np.zeros((devices, 2))
    np.add.at(work, device, loads.T)
    total = work.sum(axis=1)
    share = np.divide(work[:, 0], total, out=np.full(devices, 0.5), where=total > 0)
    ranked = np.argsort(-share, kind="stable")
    shares = np.zeros((2, devices))
    if devices == 1:
        return shares + 1
    words = min(max(round(devices * loads[0].sum() / loads.sum()), 1), devices - 1)
    shares[0, ranked[:words]] = 1 / words
    shares[1, ranked[words:]] = 1 / (devices - words)
    return shares


def loads_of(choices: np.ndarray, modality: np.ndarray, experts: int) -> np.ndarray:
    """Choices (2, e) of words, 0, and patches, 1, for each expert."""
    loads = np.zeros((2, experts), dtype=np.int64)
    for kind in (0, 1):
        mine = choices[modality == kind]
        loads[kind] = np.bincount(mine[mine != NONE], minlength=experts)
    return loads


def cases(
    source: str,
    choices: np.ndarray,
    modality: np.ndarray,
    sequences: np.ndarray,
    *,
    experts: int,
    width: int,
    hidden: int,
) -> Iterator[TrafficCase]:
    """One layer's routing on 2, 4 and 8 devices, by both placements and both kinds of homes.

    What depends on loads is decided by the tokens of even sequences and counted on those of odd
    ones, as a placement is used on other tokens than those that it was made by.

    Args:
        source: what the routing is called.
        choices: (n, k) experts of each token; `NONE` where a slot is not executed.
        modality: (n,) 0 for words, 1 for patches.
        sequences: (n,) number of the sequence that a token is of.
        experts: how many there are; only numbers of devices that divide it are counted.
        width: numbers of a hidden state.
        hidden: units of an expert.
    """
    known = sequences % 2 == 0
    loads = loads_of(choices[known], modality[known], experts)
    choices, modality, sequences = choices[~known], modality[~known], sequences[~known] // 2
    for devices in (g for g in DEVICES if experts % g == 0):
        placements = {
            "in order": in_order(experts, devices),
            "by modality": by_modality(loads, devices),
        }
        for placement, device in placements.items():
            homes = {
                "sequences": homes_of_sequences(sequences, devices),
                "modalities": homes_of_modalities(modality, homes_by_work(loads, device, devices)),
            }
            for dealt, home in homes.items():
                whole = count(choices, home, device)
                words, patches = (
                    count(choices[mine], home[mine], device).leaving if mine.any() else None
                    for mine in (modality == 0, modality == 1)
                )
                yield TrafficCase(
                    source=source,
                    devices=devices,
                    placement=placement,
                    homes=dealt,
                    experts=experts,
                    width=width,
                    hidden=hidden,
                    tokens=whole.tokens,
                    choices=whole.choices,
                    leaving=whole.leaving,
                    leaving_words=words,
                    leaving_patches=patches,
                    away=whole.away,
                    copies=whole.copies,
                    busiest_link=whole.busiest_link,
                    busiest_load=int(whole.loads.max()),
                )


def _check(choices: np.ndarray, home: np.ndarray, device: np.ndarray) -> None:
    if choices.ndim != 2 or home.shape != (len(choices),) or device.ndim != 1 or not len(device):
        raise ConfigError(
            "Traffic needs choices (n, k), a home for each of the n tokens, and a device for each "
            f"expert, not arrays of shapes {choices.shape}, {home.shape} and {device.shape}."
        )
    if choices.size and not (choices.min() >= NONE and choices.max() < len(device)):
        raise ConfigError(
            f"Choices must be experts 0 to {len(device) - 1}, or {NONE} for none, not "
            f"{choices.min()} to {choices.max()}."
        )
    if device.min() < 0 or (len(home) and not 0 <= home.min() <= home.max() <= device.max()):
        raise ConfigError("Homes and devices must be numbered from 0, and each home hold experts.")
