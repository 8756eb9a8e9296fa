"""The predictions beside what was measured, by criteria that were written down before."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from moelib.modalities.cost import predictions as bounds
from moelib.modalities.cost.report.tables import ratios
from moelib.records.cost import CostNumbers
from moelib.records.record import Record
from moelib.report.statistics.hypotheses import CONTRADICTED, INCONCLUSIVE, SUPPORTED

UNIFORM, VARIABLE, GUIDED = "top-8, uniform", "top-8, variable", "top-8, guided"
ACTIVE = "OLMoE, dense, equal active"
DENSE_7B = "Vicuna-7B"

Finding = tuple[str, bool | None]  # a part of a prediction, and whether it holds; None: not known
NOT_MEASURED: Finding = ("", None)


def judge(record: Record[CostNumbers]) -> pd.DataFrame:
    """One row per prediction: statement, criterion, what was found, and the verdict.

    It is inconclusive where its sizes were not measured, and where a part of them does not refute
    it.
    """
    same, ceiling = (-bounds.SAME, bounds.SAME), (0.0, bounds.PREFILL_CEILING)
    one, many = (bounds.SAVED_ALONE, math.inf), (-math.inf, bounds.SAVED_BATCHED)
    left = times(record)
    findings = {
        "P1": _crossings(record),
        "P2": _tracking(record),
        "P3": _masking(record),
        "P4": [
            _saved(left, (VARIABLE, "mlp", "decode", 1), one, "{saved:.0%} less at batch 1"),
            _saved(left, (VARIABLE, "mlp", "decode", 32), many, "{saved:.0%} less at batch 32"),
        ],
        "P5": [_saved(left, (VARIABLE, "model", "prefill", 8), ceiling, "{saved:.0%} less")],
        "P6": [
            _saved(left, (GUIDED, "model", "prefill", 8), same, "{left:.2f} times in prefill"),
            _saved(left, (GUIDED, "model", "decode", 32), same, "{left:.2f} times in decoding"),
        ],
    }
    rows = []
    for prediction in record.numbers.predictions:
        words, holds = zip(*findings[prediction.name], strict=True)
        evidence = "; ".join(filter(None, words)) or "not measured"
        verdict = CONTRADICTED if False in holds else SUPPORTED if all(holds) else INCONCLUSIVE
        rows.append({**prediction.model_dump(), "evidence": evidence, "verdict": verdict})
    return pd.DataFrame(rows)


def crossings(record: Record[CostNumbers], arm: str) -> tuple[float | None, float | None, int]:
    """Batches at which an arm becomes slower than the dense 7B in decoding, and faster again.

    Of the medians over rounds, interpolated between measured batches on logarithmic axes; None
    where it was not seen. The third number is the largest batch that was measured, 0 if fewer than
    two were.
    """
    table = _ratios(record, "published", DENSE_7B, arm)
    table = table[(table["mode"] == "decode") & (table["context"] == bounds.CONTEXT)]
    table = table.sort_values("batch")
    if len(table) < 2:
        return None, None, 0
    x, y = np.log(table["batch"].to_numpy(float)), np.log(table["of_medians"].to_numpy(float))
    up, down = (_first(x, sign * y) for sign in (1, -1))
    if y[0] >= 0:  # slower from the smallest batch on
        up = float(table["batch"].iloc[0])
    return up, down, int(table["batch"].max())


def _first(x: np.ndarray, y: np.ndarray) -> float | None:
    """exp of the first x at which y rises through 0."""
    for i in np.flatnonzero((y[:-1] < 0) & (y[1:] >= 0)):
        return float(np.exp(x[i] - y[i] * (x[i + 1] - x[i]) / (y[i + 1] - y[i])))
    return None


def _crossings(record: Record[CostNumbers]) -> Iterator[Finding]:
    first, *_ = bounds.CROSSING
    for arm, expected in bounds.CROSSING.items():
        up, down, largest = crossings(record, arm)
        yield _crossing(f"{arm} is slower", up, expected, largest)
        if up is None:  # it has nothing to regain
            continue
        if arm == first:
            yield _crossing("it is faster again", down, bounds.RETURN, largest)
        elif down is not None:  # of which nothing was expected
            yield _crossing("it is faster again", down, (0, math.inf), largest)


def _crossing(
    words: str, batch: float | None, expected: tuple[float, float], largest: int
) -> Finding:
    low, high = expected
    if batch is not None:
        return f"{words} from batch {batch:.2g} on", low <= batch <= high
    if not largest:
        return NOT_MEASURED
    missed = False if largest >= high else None  # a crossing may lie behind the last batch
    return f"{words} at no batch up to {largest}", missed


def _tracking(record: Record[CostNumbers]) -> Iterator[Finding]:
    table = _ratios(record, "executors", ACTIVE, "grouped, uniform")
    few = table["ratio"][table["per_expert"] <= bounds.FEW]
    enough = table["ratio"][table["per_expert"] >= bounds.ENOUGH]
    words = f"times dense with {bounds.FEW} tokens per expert or fewer"
    yield _every(few, few > bounds.TRACKS, words)
    yield _every(enough, enough <= bounds.TRACKS, f"times dense with {bounds.ENOUGH} or more")


def _masking(record: Record[CostNumbers]) -> Iterator[Finding]:
    table = _ratios(record, "executors", "grouped, uniform", "masked, uniform")
    # Of the executors that choose: 8 of 64 experts.
    times = table["of_medians"][table["per_expert"] >= bounds.ENOUGH]
    low, high = (8 * (1 + sign * bounds.TOLERANCE) for sign in (-1, 1))
    sizes = "1 size" if len(times) == 1 else f"{len(times)} sizes"
    yield _every(times, times.between(low, high), f"times the grouped product, at {sizes}")


def _every(values: pd.Series, holds: pd.Series, words: str) -> Finding:
    """From where to where values lie, and whether it holds of every one."""
    if values.empty:
        return NOT_MEASURED
    low, high = values.min(), values.max()
    span = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"
    return f"{span} {words}", bool(holds.all())


def _saved(times: pd.Series, run: tuple, expected: tuple[float, float], words: str) -> Finding:
    """Whether a run spares as large a share of uniform routing's time as was expected."""
    if run not in times:
        return NOT_MEASURED
    low, high = expected
    left = float(times[run])
    return words.format(saved=1 - left, left=left), low <= 1 - left <= high


def times(record: Record[CostNumbers]) -> pd.Series:
    """Times of kinds of perceptrons, times uniform routing's, by arm, part, mode and batch.

    For a model one layer may stand.
    """
    table = ratios(record, "kinds", UNIFORM)
    table = table[table["context"] == bounds.CONTEXT].replace({"part": {"block": "model"}})
    return table.groupby(["arm", "part", "mode", "batch"])["ratio"].first()


def _ratios(record: Record[CostNumbers], panel: str, reference: str, arm: str) -> pd.DataFrame:
    table = ratios(record, panel, reference)
    return table[table["arm"] == arm]
