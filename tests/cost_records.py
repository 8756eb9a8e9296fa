"""Synthetic records of costs, for the tests of what reads them."""

from functools import cache

from moelib.modalities.cost.grid import ACTIVE, CONTEXT, PUBLISHED, TOTAL
from moelib.modalities.cost.predictions import PREDICTIONS
from moelib.records.cost import (
    Check,
    CostCell,
    CostNumbers,
    Peaks,
    TrafficCase,
    TrafficNumbers,
)
from moelib.records.provenance import observe
from moelib.records.record import Record, write_record
from moelib.study.run import results_root
from moelib.study.shapes import MOE_LLAVA, OLMOE, VISION

_observed = cache(observe)  # git is asked for the commit each time
PEAKS = Peaks(teraflops=700.0, gigabytes=4000.0)
SHAPES = (*PUBLISHED, *MOE_LLAVA, VISION, ACTIVE, TOTAL)


def cell(
    arm: str,
    ms: float | tuple[float, ...],
    *,
    panel: str = "published",
    shape: str | None = None,
    part: str = "model",
    mode: str = "decode",
    batch: int = 1,
    context: int = CONTEXT,
    layers: int | None = None,
    **others,
) -> CostCell:
    """An arm that took so long in every round, unless its times are given."""
    size = next(s for s in SHAPES if s.name == (shape or arm))
    return CostCell(
        panel=panel,
        arm=arm,
        shape=size.name,
        part=part,
        mode=mode,
        batch=batch,
        context=context,
        layers=layers or size.layers,
        executor="grouped" if size.experts > 1 else None,
        trace="uniform" if size.experts > 1 else None,
        graphed=True,
        milliseconds=ms if isinstance(ms, tuple) else (ms, 2 * ms, ms),
        slots=others.pop("slots", None),
        touched=others.pop("touched", None),
        largest=None,
        **others,
    )


def mixture(arm: str, ms: float, **others) -> CostCell:
    """An arm of OLMoE's shape."""
    return cell(arm, ms, shape=OLMOE.name, **others)


def record(*cells: CostCell, device: str = "Some GPU", **numbers) -> Record[CostNumbers]:
    """A record of these cells."""
    checks = (Check(executor="grouped", trace="uniform", error=0.004),)
    defaults = {"tiny": False, "seconds": 90.0, "whole": True, "beside": "", "loads": (0.0, 0.0)}
    measured = CostNumbers(
        **defaults | numbers,
        predictions=PREDICTIONS,
        peaks=PEAKS,
        checks=numbers.pop("checks", checks),
        shapes=SHAPES,
        cells=cells,
    )
    provenance = _observed().model_copy(update={"device": device})
    return Record(kind="cost", inputs={}, numbers=measured, provenance=provenance)


def decoding(times: dict[str, dict[int, float]]) -> list[CostCell]:
    """Published models, a panel for each batch."""
    batches = sorted({batch for row in times.values() for batch in row})
    return [
        cell(arm, row[batch], batch=batch)
        for batch in batches
        for arm, row in times.items()
        if batch in row
    ]


def traffic() -> Record[TrafficNumbers]:
    """A record of one case on two devices."""
    case = TrafficCase(
        **{"source": "trace, uniform", "devices": 2, "placement": "by modality"},
        **{"homes": "sequences", "experts": 64, "width": 2048, "hidden": 1024, "tokens": 100},
        **{"choices": 800, "leaving": 0.9, "leaving_words": 0.9, "leaving_patches": None},
        **{"away": 0.5, "copies": 90, "busiest_link": 50, "busiest_load": 600},
    )
    numbers = TrafficNumbers(cases=(case,))
    return Record(kind="traffic", inputs={}, numbers=numbers, provenance=_observed())


def write_all() -> None:
    """Write a record of each kind under the results root."""
    records = {"cost": record(cell("Vicuna-7B", 1.0)), "traffic": traffic()}
    for kind, entry in records.items():
        write_record(results_root() / "cost" / f"{kind}.some-cpu.json", entry)
