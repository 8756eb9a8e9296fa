"""Records of costs as frames: times beside their bounds, ratios of the same rounds, traffic."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from moelib.modalities.cost.predictions import CONTEXT
from moelib.modalities.cost.roofline import demand, least_ms
from moelib.modalities.cost.traffic import (
    DEVICES,
    LINKS,
    by_modality,
    expect,
    homes_by_work,
    modelled_ms,
)
from moelib.records.cost import CostCell, CostNumbers, TrafficNumbers
from moelib.records.modalities import ModalityUtilizationNumbers
from moelib.records.record import Record
from moelib.report.timing import quartiles, ratio

PATCHES = ("object", "empty")  # types of tokens that are patches; the others are words
SIZE = ["panel", "part", "mode", "batch", "context"]  # one panel
CELLS = [
    *(name for name in CostCell.model_fields if name not in ("milliseconds", "fault")),
    *("tokens", "per_expert", "rounds", "ms", "ms_low", "ms_high", "bound_ms", "of_bound"),
    *("modelled", "mixture", "whole_ms"),
]
RATIOS = [
    *(*SIZE, "arm", "tokens", "per_expert", "slots", "touched"),
    *("ratio", "ratio_low", "ratio_high"),
]


def cells(record: Record[CostNumbers]) -> pd.DataFrame:
    """One row per arm that ran: its time, and the least time that its bounds allow.

    `ms` is the median over rounds of one pass over the layers that were run, with quartiles;
    `bound_ms` the least time of the same pass at the measured rates of the machine, with the
    experts that were met, and `of_bound` that by `ms`. `whole_ms` is the time of the whole model:
    where a few layers were run it is `modelled`, `ms` times all layers by those that were run,
    without unembedding.
    """
    numbers = record.numbers
    shapes = {shape.name: shape for shape in numbers.shapes}
    rows = []
    for cell in numbers.cells:
        if not cell.milliseconds:
            continue
        shape = shapes[cell.shape]
        least = least_ms(
            demand(
                *(shape, cell.mode, cell.batch, cell.context),
                part=cell.part,
                layers=cell.layers,
                slots=cell.slots,
                met=cell.touched,
            ),
            numbers.peaks,
        )
        ms = float(np.median(cell.milliseconds))
        whole = ms * shape.layers / cell.layers
        tokens = _tokens(cell)
        rows.append(
            {
                **cell.model_dump(exclude={"milliseconds", "fault"}),
                "tokens": tokens,
                "per_expert": tokens * shape.k / shape.experts,
                "rounds": len(cell.milliseconds),
                **quartiles("ms", cell.milliseconds),
                "bound_ms": least,
                "of_bound": least / ms,
                "modelled": cell.layers < shape.layers,
                "mixture": shape.experts > 1,
                "whole_ms": whole,
            }
        )
    return pd.DataFrame(rows, columns=CELLS)


def decoding(cells: pd.DataFrame) -> pd.DataFrame:
    """The rows of `cells` of decoding at published shapes, of those timed at several batches."""
    steps = cells[
        (cells["panel"] == "published")
        & (cells["mode"] == "decode")
        & (cells["context"] == CONTEXT)
    ]
    return steps.groupby("arm", sort=False).filter(lambda points: len(points) > 1)


def ratios(
    record: Record[CostNumbers], panel: str, reference: str, arms: Iterable[str] | None = None
) -> pd.DataFrame:
    """One row per arm and size of a panel: its time by that of the reference in the same rounds.

    `ratio` is the median over rounds, with quartiles. It is of whole models, so that where few
    layers stand for all of them, their numbers count. Sizes at which the reference did not run have
    no row.
    """
    shapes = {shape.name: shape for shape in record.numbers.shapes}
    here = [c for c in record.numbers.cells if c.panel == panel and c.milliseconds]
    timed = {(*_size(cell), cell.arm): cell for cell in here}
    rows = []
    for (*size, arm), cell in timed.items():
        base = timed.get((*size, reference))
        if base is None or (arms is not None and arm not in arms):
            continue
        depth, base_depth = (shapes[c.shape].layers / c.layers for c in (cell, base))
        rows.append(
            {
                **dict(zip(SIZE, size, strict=True)),
                "arm": arm,
                "tokens": _tokens(cell),
                "per_expert": _tokens(cell) * shapes[cell.shape].k / shapes[cell.shape].experts,
                "slots": cell.slots,
                "touched": cell.touched,
                **ratio(
                    "ratio",
                    [t * depth for t in cell.milliseconds],
                    [t * base_depth for t in base.milliseconds],
                ),
            }
        )
    return pd.DataFrame(rows, columns=RATIOS)


def faults(record: Record[CostNumbers]) -> pd.DataFrame:
    """One row per arm that did not run, or not as one graph, and why."""
    rows = [
        cell.model_dump(include={*SIZE, "arm", "fault"})
        for cell in record.numbers.cells
        if cell.fault
    ]
    return pd.DataFrame(rows, columns=[*SIZE, "arm", "fault"])


def traffic(record: Record[TrafficNumbers], teraflops: float) -> pd.DataFrame:
    """One row per case and link: counts, bytes, imbalance, and modelled times of one layer.

    `imbalance` is the busiest device's choices by the mean, `megabytes` what all send there and
    back, `compute_ms` and `link_ms` the two modelled times, and `ms` their sum.
    """
    rows = []
    for case in record.numbers.cases:
        for link in LINKS:
            compute, communication = modelled_ms(case, link, teraflops)
            rows.append(
                {
                    **case.model_dump(),
                    "link": link.name,
                    "imbalance": case.busiest_load * case.devices / case.choices,
                    "megabytes": 2 * case.copies * case.width * 2 / 1e6,
                    "compute_ms": compute,
                    "link_ms": communication,
                    "ms": compute + communication,
                }
            )
    return pd.DataFrame(rows)


def trained_traffic(records: Iterable[Record[ModalityUtilizationNumbers]]) -> pd.DataFrame:
    """One row per arm and number of devices: traffic of trained routers, from their loads.

    Means over seeds and layers of what `traffic.expect` tells. Experts are placed by the share of
    words in their load, and tokens live where the work of their modality is; both are decided by
    the loads that they are counted on, which flatters a little. `chance` is the share of choices
    away under uniform routing.

    Args:
        records: of the utilization of trained vision-language models.
    """
    rows = []
    for record in records:
        for layer in record.numbers.layers:
            loads = np.array(layer.load)
            slots, choices = _slots(record.numbers.tokens, layer.real)
            for devices in (g for g in DEVICES if loads.shape[1] % g == 0):
                device = by_modality(loads * choices[:, None], devices)
                homes = homes_by_work(loads * choices[:, None], device, devices)
                expected = expect(loads, choices, slots, homes, device)
                weigh = choices / slots  # tokens of each modality
                rows.append(
                    {
                        "arm": record.head,
                        "seed": record.seed,
                        "devices": devices,
                        "away": float(np.average(expected.away, weights=choices)),
                        "away_words": float(expected.away[0]),
                        "away_patches": float(expected.away[1]),
                        "leaving": float(np.average(expected.leaving_apart, weights=weigh)),
                        "imbalance": expected.imbalance,
                        "chance": 1 - 1 / devices,
                    }
                )
    if not rows:
        return pd.DataFrame(columns=["arm", "devices", "away", "leaving", "imbalance", "chance"])
    table = pd.DataFrame(rows)
    seeds = table.groupby(["arm", "devices"], sort=False)["seed"].nunique().rename("seeds")
    means = table.groupby(["arm", "devices"], sort=False).mean(numeric_only=True)
    return means.drop(columns="seed").join(seeds).reset_index()


def _slots(tokens: Mapping[str, int], real: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Executed experts per token, and choices, of words and of patches (m,) each."""
    counts, choices = np.zeros(2), np.zeros(2)
    for kind, experts in real.items():
        modality = int(kind in PATCHES)
        counts[modality] += tokens[kind]
        choices[modality] += tokens[kind] * experts
    return choices / counts, choices


def _size(cell: CostCell) -> tuple:
    return tuple(getattr(cell, name) for name in SIZE)


def _tokens(cell: CostCell) -> int:
    return cell.batch * (1 if cell.mode == "decode" else cell.context)
