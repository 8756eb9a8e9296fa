"""Scores that others published, joined with the time of an answer at the published shapes.

Nothing here was scored by this project: the models' weights are not at hand.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from moelib.modalities.cost.report import tables
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
SCORES = (  # percentages at 336 pixels
    ("MoE-LLaVA-1.6Bx4", MOE_LLAVA[0], {"GQA": 60.3, "MMBench": 60.2}),
    ("MoE-LLaVA-1.8Bx4", MOE_LLAVA[1], {"GQA": 61.5, "MMBench": 59.6}),
    ("MoE-LLaVA-2.7Bx4", MOE_LLAVA[2], {"GQA": 61.4, "MMBench": 65.2}),
    ("LLaVA-1.5-7B", VICUNA_7B, {"GQA": 62.0, "MMBench": 64.3}),
    ("LLaVA-1.5-13B", VICUNA_13B, {"GQA": 63.3, "MMBench": 67.7}),
)
Pass = tuple[Shape, str, int]  # of one sequence: what runs, its mode and context


def front(record: Record[CostNumbers] | None) -> pd.DataFrame:
    """One row per model and task: the published score, and milliseconds of an answer alone.

    An answer is the vision encoder, a prefill of 640 tokens, and 15 more tokens, the steps added
    up. Where all three ran on the record's device as whole models, for every model, `ms` is of
    their medians, and `bound_ms` of the best rates measured there; else both are bounds by an
    H100's data sheet. `measured` says which.
    """
    medians = _medians(record) if record else {}
    times = [
        _answer_ms(shape, lambda run: medians.get((run[0].name, *run[1:]), np.nan))
        for _, shape, _ in SCORES
    ]
    measured = not np.isnan(times).any()  # one axis, one kind of number
    peaks = record.numbers.peaks if measured else DATA_SHEET
    bounds = [_answer_ms(shape, lambda run: _bound(run, peaks)) for _, shape, _ in SCORES]
    rows = [
        {
            "model": model,
            "kind": "mixture" if shape.experts > 1 else "dense",
            "task": task,
            "score": score,
            "billions": shape.parameters / 1e9,
            "active": shape.active_parameters / 1e9,
            "bound_ms": bound,
            "ms": ms if measured else bound,
            "measured": measured,
        }
        for (model, shape, scores), ms, bound in zip(SCORES, times, bounds, strict=True)
        for task, score in scores.items()
    ]
    return pd.DataFrame(rows)


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
        billions = {"billions": shape.parameters / 1e9, "active": shape.active_parameters / 1e9}
        rows.append({"model": shape.name, **billions, **least})
    return pd.DataFrame(rows)


def _answer_ms(shape: Shape, milliseconds: Callable[[Pass], float]) -> float:
    """Time of one answer, from that of each of its passes."""
    encoder, prompt = (VISION, "prefill", PATCHES), (shape, "prefill", PROMPT)
    step = (shape, "decode", PROMPT)
    return milliseconds(encoder) + milliseconds(prompt) + (ANSWER - 1) * milliseconds(step)


def _bound(run: Pass, peaks: Peaks) -> float:
    shape, mode, context = run
    return least_ms(demand(shape, mode, 1, context), peaks)


def _medians(record: Record[CostNumbers]) -> dict[tuple[str, str, int], float]:
    """Milliseconds of whole models, one sequence alone, by name, mode and context."""
    cells = tables.cells(record)
    cells = cells[(cells["panel"] == "published") & (cells["part"] == "model")]
    alone = cells[cells["batch"] == 1].set_index(["shape", "mode", "context"])
    return alone["ms"].to_dict()
