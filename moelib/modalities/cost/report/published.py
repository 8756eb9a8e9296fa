"""Scores that others published, joined with the time of an answer at the published shapes.

Nothing here was scored by this project: the models' weights are not at hand.
"""

import numpy as np
import pandas as pd

from moelib.modalities.cost.report import tables
from moelib.modalities.cost.report.roofline import demand, least_ms
from moelib.records.cost import CostNumbers
from moelib.records.record import Record
from moelib.study.shapes import MOE_LLAVA, VICUNA_7B, VICUNA_13B, VISION

SOURCE = "MoE-LLaVA's README, commit 0549ce0; LLaVA-1.5 13B from a comment there"
PROMPT, PATCHES, ANSWER = 640, 577, 16  # tokens: image and question, encoder, answer
SCORES = (  # percentages at 336 pixels
    ("MoE-LLaVA-1.6Bx4", MOE_LLAVA[0], {"GQA": 60.3, "MMBench": 60.2}),
    ("MoE-LLaVA-1.8Bx4", MOE_LLAVA[1], {"GQA": 61.5, "MMBench": 59.6}),
    ("MoE-LLaVA-2.7Bx4", MOE_LLAVA[2], {"GQA": 61.4, "MMBench": 65.2}),
    ("LLaVA-1.5-7B", VICUNA_7B, {"GQA": 62.0, "MMBench": 64.3}),
    ("LLaVA-1.5-13B", VICUNA_13B, {"GQA": 63.3, "MMBench": 67.7}),
)
TASKS = ("GQA", "MMBench")


def front(record: Record[CostNumbers]) -> pd.DataFrame:
    """One row per model that was timed whole: its scores, and milliseconds of an answer alone.

    An answer is the vision encoder, a prefill of 640 tokens, and 15 more tokens, the steps added
    up: `ms` of their medians, and `bound_ms` of the least times at the best rates measured there.
    """
    cells = tables.cells(record)
    cells = cells[(cells["panel"] == "published") & (cells["part"] == "model")]
    alone = cells[cells["batch"] == 1].set_index(["shape", "mode", "context"])["ms"]
    rows = []
    for model, shape, scores in SCORES:
        passes = [  # and how often each runs
            (VISION, "prefill", PATCHES, 1),
            (shape, "prefill", PROMPT, 1),
            (shape, "decode", PROMPT, ANSWER - 1),
        ]
        bounds, times = 0.0, 0.0
        for own, mode, context, count in passes:
            bounds += count * least_ms(demand(own, mode, 1, context), record.numbers.peaks)
            times += count * alone.get((own.name, mode, context), np.nan)
        kind = "mixture" if shape.experts > 1 else "dense"
        billions = {"billions": shape.parameters / 1e9, "active": shape.active_parameters / 1e9}
        rows.append(
            {"model": model, "kind": kind, **scores, **billions, "ms": times, "bound_ms": bounds}
        )
    return pd.DataFrame(rows).dropna(subset="ms")
