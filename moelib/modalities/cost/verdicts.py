"""The predictions beside what was measured, by criteria that were written down before."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from moelib.modalities.cost import predictions as bounds
from moelib.modalities.cost.tables import ratios
from moelib.records.cost import CostNumbers
from moelib.records.record import Record
from moelib.report.statistics.hypotheses import CONTRADICTED, INCONCLUSIVE, SUPPORTED

UNIFORM = "top-8, uniform"
ACTIVE = "OLMoE, dense, equal active"
DENSE_7B = "Vicuna-7B"

Verdict = tuple[str, str]  # what was found, and the word for it


def judge(record: Record[CostNumbers]) -> pd.DataFrame:
    """One row per prediction: statement, criterion, what was found, and the verdict.

    It is inconclusive where its sizes were not measured, and where a part of them does not refute
    it.
    """
    judges: dict[str, Callable[[Record[CostNumbers]], Verdict]] = {
        "P1": _crossings,
        "P2": _tracking,
        "P3": _masking,
        "P4": _saved_in_decoding,
        "P5": _saved_in_prefill,
        "P6": _guided,
    }
    rows = []
    for prediction in record.numbers.predictions:
        evidence, verdict = judges[prediction.name](record)
        rows.append({**prediction.model_dump(), "evidence": evidence, "verdict": verdict})
    return pd.DataFrame(rows)


def crossings(record: Record[CostNumbers], arm: str) -> tuple[float | None, float | None, int]:
    """Batches at which an arm becomes slower than the dense 7B in decoding, and faster again.

    Interpolated between measured batches on logarithmic axes; None where it was not seen. The third
    number is the largest batch that was measured, 0 if fewer than two were.
    """
    table = ratios(record, "published", DENSE_7B, [arm])
    table = table[(table["mode"] == "decode") & (table["context"] == bounds.CONTEXT)]
    table = table.sort_values("batch")
    if len(table) < 2:
        return None, None, 0
    x, y = np.log(table["batch"].to_numpy(float)), np.log(table["ratio"].to_numpy(float))
    up, down = (_first(x, sign * y) for sign in (1, -1))
    if y[0] >= 0:  # slower from the smallest batch on
        up = float(table["batch"].iloc[0])
    return up, down, int(table["batch"].max())


def _first(x: np.ndarray, y: np.ndarray) -> float | None:
    """exp of the first x at which y rises through 0."""
    for i in np.flatnonzero((y[:-1] < 0) & (y[1:] >= 0)):
        return float(np.exp(x[i] - y[i] * (x[i + 1] - x[i]) / (y[i + 1] - y[i])))
    return None


def _crossings(record: Record[CostNumbers]) -> Verdict:
    parts, verdicts = [], []
    for arm, (low, high) in bounds.CROSSING.items():
        up, down, largest = crossings(record, arm)
        if not largest:
            verdicts.append(INCONCLUSIVE)
            continue
        parts.append(f"{arm} is overtaken {_at(up, largest)}")
        verdicts.append(_within(up, low, high, largest))
        if arm == next(iter(bounds.CROSSING)):
            parts.append(f"it passes again {_at(down, largest)}")
            verdicts.append(_within(down, *bounds.RETURN, largest))
    return "; ".join(parts) or "not measured", _all(verdicts)


def _tracking(record: Record[CostNumbers]) -> Verdict:
    table = ratios(record, "executors", ACTIVE, ["grouped, uniform"])
    few = table[table["per_expert"] <= bounds.FEW]
    enough = table[table["per_expert"] >= bounds.ENOUGH]
    parts = [
        f"{_range(part['ratio'])} times dense with {words}"
        for part, words in (
            (few, f"{bounds.FEW} tokens per expert or fewer"),
            (enough, f"{bounds.ENOUGH} or more"),
        )
        if len(part)
    ]
    verdicts = [
        _every(few["ratio"] > bounds.TRACKS),
        _every(enough["ratio"] <= bounds.TRACKS),
    ]
    return "; ".join(parts) or "not measured", _all(verdicts)


def _masking(record: Record[CostNumbers]) -> Verdict:
    table = ratios(record, "executors", "grouped, uniform", ["masked, uniform"])
    # Of the executors that choose: 8 of 64 experts.
    table = table[table["per_expert"] >= bounds.ENOUGH]
    if table.empty:
        return "not measured", INCONCLUSIVE
    low, high = (8 * (1 + sign * bounds.TOLERANCE) for sign in (-1, 1))
    sizes = "1 size" if len(table) == 1 else f"{len(table)} sizes"
    evidence = f"{_range(table['ratio'])} times the grouped product, at {sizes}"
    return evidence, _every(table["ratio"].between(low, high))


def _saved_in_decoding(record: Record[CostNumbers]) -> Verdict:
    saved = {batch: _saved(record, "mlp", "decode", batch, "variable") for batch in (1, 32)}
    known = {batch: value for batch, value in saved.items() if value is not None}
    evidence = ", ".join(f"{value:.0%} less at batch {batch}" for batch, value in known.items())
    verdicts = [
        INCONCLUSIVE if saved[1] is None else _word(saved[1] >= bounds.SAVED_ALONE),
        INCONCLUSIVE if saved[32] is None else _word(saved[32] <= bounds.SAVED_BATCHED),
    ]
    return evidence or "not measured", _all(verdicts)


def _saved_in_prefill(record: Record[CostNumbers]) -> Verdict:
    saved = _saved(record, "model", "prefill", 8, "variable")
    if saved is None:
        return "not measured", INCONCLUSIVE
    return f"{saved:.0%} less", _word(0 <= saved <= bounds.PREFILL_CEILING)


def _guided(record: Record[CostNumbers]) -> Verdict:
    saved = {
        words: _saved(record, "model", mode, batch, "guided")
        for words, mode, batch in (("prefill", "prefill", 8), ("decoding", "decode", 32))
    }
    known = {words: value for words, value in saved.items() if value is not None}
    evidence = ", ".join(f"{1 - value:.2f} times in {words}" for words, value in known.items())
    verdicts = [
        INCONCLUSIVE if value is None else _word(abs(value) <= bounds.SAME)
        for value in saved.values()
    ]
    return evidence or "not measured", _all(verdicts)


def _saved(
    record: Record[CostNumbers], part: str, mode: str, batch: int, trace: str
) -> float | None:
    """Share of time that a trace spares beside uniform routing; None: not measured."""
    table = ratios(record, "kinds", UNIFORM, [f"top-8, {trace}"])
    parts = ("model", "block") if part == "model" else (part,)
    table = table[
        table["part"].isin(parts)
        & (table["mode"] == mode)
        & (table["batch"] == batch)
        & (table["context"] == bounds.CONTEXT)
    ]
    return None if table.empty else 1 - float(table["ratio"].iloc[0])


def _at(batch: float | None, largest: int) -> str:
    return f"at batch {batch:.2g}" if batch else f"at no batch up to {largest}"


def _within(batch: float | None, low: float, high: float, largest: int) -> str:
    if batch is None:  # a crossing may lie behind the last batch
        return CONTRADICTED if largest >= high else INCONCLUSIVE
    return _word(low <= batch <= high)


def _range(values: pd.Series) -> str:
    low, high = values.min(), values.max()
    return f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"


def _every(holds: pd.Series) -> str:
    return _word(bool(holds.all())) if len(holds) else INCONCLUSIVE


def _word(holds: bool) -> str:
    return SUPPORTED if holds else CONTRADICTED


def _all(verdicts: list[str]) -> str:
    """Contradicted if one is, supported if all are."""
    if CONTRADICTED in verdicts:
        return CONTRADICTED
    return SUPPORTED if verdicts and set(verdicts) == {SUPPORTED} else INCONCLUSIVE
