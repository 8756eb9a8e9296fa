"""Scores that others published, joined with the time of an answer at the published shapes.

Nothing here was scored by this project: the models' weights are not at hand.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from moelib.modalities.cost.report.roofline import demand, least_ms
from moelib.records.cost import CostNumbers, Peaks
from moelib.records.record import Record
from moelib.study.shapes import (
    DEEPSEEK,
    MOE_LLAVA,
    OLMOE,
    QWEN3,
    TINYLLAMA,
    VICUNA_7B,
    VICUNA_13B,
    VISION,
    Shape,
)

SOURCE = "MoE-LLaVA's README, commit 0549ce0 (LLaVA-1.5 13B: in a comment there)"
DATA_SHEET = Peaks(teraflops=989.0, gigabytes=3350.0)  # NVIDIA H100 SXM, bfloat16 without sparsity
PROMPT, PATCHES, ANSWER = 640, 577, 16  # tokens: image and question, encoder, answer


MODELS = (TINYLLAMA, VICUNA_7B, OLMOE, VICUNA_13B, DEEPSEEK, QWEN3)  # by total size
BATCHES = (1, 4, 8, 16, 32, 64, 128)


class Score(NamedTuple):
    """Published percentages of one model at 336 pixels."""

    model: str
    shape: Shape
    gqa: float
    mmbench: float


SCORES = (
    Score("MoE-LLaVA-1.6Bx4", MOE_LLAVA[0], 60.3, 60.2),
    Score("MoE-LLaVA-1.8Bx4", MOE_LLAVA[1], 61.5, 59.6),
    Score("MoE-LLaVA-2.7Bx4", MOE_LLAVA[2], 61.4, 65.2),
    Score("LLaVA-1.5-7B", VICUNA_7B, 62.0, 64.3),
    Score("LLaVA-1.5-13B", VICUNA_13B, 63.3, 67.7),
)


def front(record: Record[CostNumbers] | None) -> pd.DataFrame:
    """One row per model and task: the published score, and milliseconds of an answer alone.

    An answer is the vision encoder, a prefill of 640 tokens, and 15 more tokens, the steps added
    up: `ms` is of medians measured on the record's device where all three ran there as whole
    models, else the bound by an H100's data sheet; `measured` says which.
    """
    rows = []
    for score in SCORES:
        ms = None if record is None else _measured(record, score.shape)
        for task, value in (("GQA", score.gqa), ("MMBench", score.mmbench)):
            rows.append(
                {
                    "model": score.model,
                    "kind": "mixture" if score.shape.experts > 1 else "dense",
                    "task": task,
                    "score": value,
                    "billions": score.shape.parameters / 1e9,
                    "active": score.shape.active_parameters / 1e9,
                    "bound_ms": _bound(score.shape),
                    "ms": _bound(score.shape) if ms is None else ms,
                    "measured": ms is not None,
                }
            )
    table = pd.DataFrame(rows)
    if not table["measured"].all():  # one axis, one kind of number
        table = table.assign(ms=table["bound_ms"], measured=False)
    return table


def bounds() -> pd.DataFrame:
    """One row per published shape: the least milliseconds of a pass by an H100's data sheet.

    Decoding steps at context 640 for several batches, and prefill of one sequence and of eight, all
    under uniform routing. Nothing of it is measured.
    """
    rows = []
    for shape in MODELS:
        sizes = [("decode", batch) for batch in BATCHES] + [("prefill", 1), ("prefill", 8)]
        least = {
            f"{mode} {batch}": least_ms(demand(shape, mode, batch, PROMPT), DATA_SHEET)
            for mode, batch in sizes
        }
        sizes = {"billions": shape.parameters / 1e9, "active": shape.active_parameters / 1e9}
        rows.append({"model": shape.name, **sizes, **least})
    return pd.DataFrame(rows)


def _steps(shape: Shape) -> list[tuple[Shape, str, int, int]]:
    """Shape, mode, context and number of the passes of one answer."""
    return [
        (VISION, "prefill", PATCHES, 1),
        (shape, "prefill", PROMPT, 1),
        (shape, "decode", PROMPT, ANSWER - 1),
    ]


def _bound(shape: Shape) -> float:
    return sum(
        times * least_ms(demand(part, mode, 1, context), DATA_SHEET)
        for part, mode, context, times in _steps(shape)
    )


def _measured(record: Record[CostNumbers], shape: Shape) -> float | None:
    total = 0.0
    for part, mode, context, times in _steps(shape):
        cells = [
            cell
            for cell in record.numbers.cells
            if (cell.panel, cell.part, cell.shape) == ("published", "model", part.name)
            and (cell.mode, cell.batch, cell.context) == (mode, 1, context)
            and cell.milliseconds
        ]
        if not cells:
            return None
        total += times * float(np.median(cells[0].milliseconds))
    return total
