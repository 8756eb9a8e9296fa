"""Expert parallelism: what a routing sends between devices that hold the experts.

Everything here takes plain arrays, so that a trained router's choices and a synthetic trace are
judged alike, and nothing is measured: times are modelled from counts and from published rates.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from moelib.records.cost import TrafficCase
from moelib.study.base import ConfigError

NONE = -1  # in choices: a slot that is not executed
DEVICES = (2, 4, 8)


class Link(NamedTuple):
    """A connection of each device to all others, the same in both directions."""

    name: str
    gigabytes: float  # per second and direction
    source: str


LINKS = (
    Link("10 GbE", 1.25, "10 Gbit/s (IEEE 802.3ae)"),
    Link("PCIe 4.0 x16", 31.5, "16 GT/s, 16 lanes, 128/130 encoding (PCI-SIG)"),
    Link("NVLink 4", 450.0, "half of 900 GB/s in both directions (NVIDIA H100 data sheet)"),
)


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


class Expected(NamedTuple):
    """What loads alone tell of traffic; shares are of one modality (m,) each."""

    away: np.ndarray  # of choices on another device: exact if homes do not follow choices
    leaving_low: np.ndarray  # of tokens with a choice elsewhere, if those choices come together,
    leaving_apart: np.ndarray  # if a token's choices are independent,
    leaving_high: np.ndarray  # and if they come one to a token
    imbalance: float  # the busiest device's choices by the mean


def expect(
    loads: np.ndarray,
    choices: np.ndarray,
    slots: np.ndarray,
    homes: np.ndarray,
    device: np.ndarray,
) -> Expected:
    """Traffic from loads by modality, where the choices of single tokens were not recorded.

    Homes and choices of tokens of one modality are taken to be independent.

    Args:
        loads: (m, e) share of a modality's choices that each expert gets.
        choices: (m,) how many choices each modality makes.
        slots: (m,) executed experts per token, on average.
        homes: (m, g) share of a modality's tokens that live on each device.
        device: (e,) the device that holds each expert.
    """
    held = np.zeros(homes.shape)  # (m, g) share of a modality's choices on each device
    np.add.at(held.T, device, loads.T)
    away = 1 - (held * homes).sum(axis=1)
    apart = 1 - (homes * held ** slots[:, None]).sum(axis=1)
    work = choices @ held  # (g,)
    return Expected(
        away=away,
        leaving_low=away,
        leaving_apart=apart,
        leaving_high=np.minimum(1, slots * away),
        imbalance=float(work.max() / work.mean()),
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


def modelled_ms(case: TrafficCase, link: Link, teraflops: float) -> tuple[float, float]:
    """Milliseconds that the busiest device computes, and that the busiest one communicates.

    compute = max_g loads_g 6 d h / r, communication = 2 max_g max(out_g, in_g) d b / w: hidden
    states out and results back in b = 2 bytes a number. Latency is not in it. Without overlap a
    layer takes their sum.

    Args:
        case: counts of one layer, with d and h.
        link: its rate w.
        teraflops: r of each device, two operations for a multiply-add.
    """
    compute = case.busiest_load * 6 * case.width * case.hidden / teraflops / 1e9
    return compute, 2 * case.busiest_link * case.width * 2 / link.gigabytes / 1e6


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
