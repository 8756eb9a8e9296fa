"""Traffic between devices as frames: modelled times of counts, and what loads alone tell."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd

from moelib.modalities.cost.report.roofline import BYTES
from moelib.modalities.cost.traffic import DEVICES, by_modality, homes_by_work
from moelib.records.cost import TrafficNumbers
from moelib.records.modalities import ModalityUtilizationNumbers
from moelib.records.record import Record

N = TypeVar("N", float, pd.Series)
PATCHES = ("object", "empty")  # types of tokens that are patches; the others are words
TERAFLOPS = 989.0  # NVIDIA H100 SXM, bfloat16 without sparsity; two for a multiply-add
LINKS = {  # gigabytes per second from each device to all others, and as many back
    "10 GbE": 1.25,  # 10 Gbit/s (IEEE 802.3ae)
    "PCIe 4.0 x16": 31.5,  # 16 GT/s, 16 lanes, 128/130 encoding (PCI-SIG)
    "NVLink 4": 450.0,  # half of 900 GB/s in both directions (NVIDIA H100 data sheet)
}


def modelled(record: Record[TrafficNumbers]) -> pd.DataFrame:
    """One row per case: its counts, and milliseconds of one layer by published rates.

    `imbalance` is the busiest device's choices by the mean, `megabytes` what all send there and
    back. compute_ms = max_g loads_g 6 d h / r is of the busiest device, of rate r, and a column for
    each link 2 max_g max(out_g, in_g) d b / w: hidden states out and results back, in b bytes a
    number. Latency is not in it. Without overlap a layer takes their sum.
    """
    table = pd.DataFrame([case.model_dump() for case in record.numbers.cases])
    moved = _moved(table["width"])
    compute = table["busiest_load"] * 6 * table["width"] * table["hidden"]
    return table.assign(
        imbalance=table["busiest_load"] * table["devices"] / table["choices"],
        megabytes=table["copies"] * moved / 1e6,
        compute_ms=compute / TERAFLOPS / 1e9,
        **_link_ms(table["busiest_link"] * moved),
    )


def _moved(width: N) -> N:
    """Bytes for a token that is sent, and for its result."""
    return 2 * width * BYTES


def _link_ms(moved: N) -> dict[str, N]:
    """Milliseconds for so many bytes of the busiest device, by the rate of each link."""
    return {link: moved / rate / 1e6 for link, rate in LINKS.items()}


def trained(records: Iterable[Record[ModalityUtilizationNumbers]]) -> pd.DataFrame:
    """One row per arm and number of devices: traffic of trained routers, from their loads.

    Means over seeds and layers of what `expect` tells. Experts are placed by the share of words in
    their load, and tokens live where the work of their modality is; both are decided by the loads
    that they are counted on, which flatters a little. `chance` is the share of choices away under
    uniform routing. Megabytes and milliseconds are as in `modelled`, for 1,000 tokens of a layer of
    the trained width.

    Args:
        records: of the utilization of trained vision-language models, one at least.
    """
    rows = []
    for record, layer in [(run, layer) for run in records for layer in run.numbers.layers]:
        loads = np.array(layer.load)  # (m, e)
        tokens, choices = _by_modality(record.numbers.tokens, layer.real)
        for devices in (g for g in DEVICES if loads.shape[1] % g == 0):
            device = by_modality(loads * choices[:, None], devices)
            homes = homes_by_work(loads * choices[:, None], device, devices)
            expected = expect(loads, choices, choices / tokens, homes, device)
            sent = expected.sent * 1000 / tokens.sum()  # (g, g)
            moved = _moved(record.numbers.study.transformer.width)
            busiest = max(sent.sum(axis=0).max(), sent.sum(axis=1).max())
            row = {
                "away": np.average(expected.away, weights=choices),
                "chance": 1 - 1 / devices,
                "away_words": expected.away[0],
                "away_patches": expected.away[1],
                "leaving": np.average(expected.leaving, weights=tokens),
                "imbalance": expected.imbalance,
                "megabytes": sent.sum() * moved / 1e6,
                **_link_ms(busiest * moved),
            }
            rows.append({"arm": record.head, "devices": devices, "seed": record.seed, **row})
    groups = pd.DataFrame(rows).groupby(["arm", "devices"], sort=False)
    return groups.mean().assign(seeds=groups["seed"].nunique()).reset_index()


class Expected(NamedTuple):
    """What loads alone tell of traffic; shares are of one modality (m,) each."""

    away: np.ndarray  # of choices on another device: exact if homes do not follow choices
    leaving: np.ndarray  # of tokens with a choice elsewhere, if their choices are independent
    sent: np.ndarray  # (g, g) tokens from a device to another, if their choices are independent
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
    work = choices @ held  # (g,)
    visits = 1 - (1 - held) ** slots[:, None]  # (m, g) share of a modality's tokens
    sent = (homes * (choices / slots)[:, None]).T @ visits  # (g, g)
    np.fill_diagonal(sent, 0)
    return Expected(
        away=1 - (held * homes).sum(axis=1),
        sent=sent,
        leaving=1 - (homes * held ** slots[:, None]).sum(axis=1),
        imbalance=float(work.max() / work.mean()),
    )


def _by_modality(
    tokens: Mapping[str, int], real: Mapping[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens, and choices that they make, of words and of patches (m,) each."""
    counts, choices = np.zeros(2), np.zeros(2)
    for kind, experts in real.items():
        modality = int(kind in PATCHES)
        counts[modality] += tokens[kind]
        choices[modality] += tokens[kind] * experts
    return counts, choices
