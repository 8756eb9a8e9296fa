"""Records of costs as frames: times beside their bounds, and ratios of the same rounds."""

import pandas as pd

from moelib.modalities.cost.predictions import CONTEXT
from moelib.modalities.cost.report.roofline import demand, least_ms
from moelib.records.cost import CostCell, CostNumbers
from moelib.records.record import Record
from moelib.report import timing

SIZE = ["panel", "part", "mode", "batch", "context"]  # one panel
CELLS = [
    *(name for name in CostCell.model_fields if name not in ("milliseconds", "fault")),
    *("tokens", "per_expert", "ms", "ms_low", "ms_high", "bound_ms", "of_bound"),
    *("modelled", "mixture", "whole_ms", "by_round"),
]
QUARTILES = ["ratio", "ratio_low", "ratio_high"]
RATIOS = [*SIZE, "arm", "tokens", "per_expert", "slots", "touched", *QUARTILES, "of_medians"]


def cells(record: Record[CostNumbers]) -> pd.DataFrame:
    """One row per arm that ran: its time, and the least time that its bounds allow.

    `ms` is the median over rounds of one pass over the layers that were run, with quartiles;
    `bound_ms` the least time of the same pass at the measured rates of the machine, with the
    experts that were met, and `of_bound` that by `ms`. `whole_ms` is the time of the whole model,
    and `by_round` that of each round: where a few layers were run it is `modelled`, `ms` times all
    layers by those that were run, without unembedding.
    """
    shapes = {shape.name: shape for shape in record.numbers.shapes}
    rows = []
    for cell in record.numbers.cells:
        if not cell.milliseconds:
            continue
        shape = shapes[cell.shape]
        least = demand(
            *(shape, cell.mode, cell.batch, cell.context),
            part=cell.part,
            layers=cell.layers,
            slots=cell.slots,
            met=cell.touched,
        )
        bound = least_ms(least, record.numbers.peaks)
        tokens = cell.batch * (1 if cell.mode == "decode" else cell.context)
        times, depth = timing.quartiles("ms", cell.milliseconds), shape.layers / cell.layers
        rows.append(
            {
                **cell.model_dump(),
                "tokens": tokens,
                "per_expert": tokens * shape.k / shape.experts,
                **times,
                "bound_ms": bound,
                "of_bound": bound / times["ms"],
                "modelled": cell.layers < shape.layers,
                "mixture": shape.experts > 1,
                "whole_ms": times["ms"] * depth,
                "by_round": [ms * depth for ms in cell.milliseconds],
            }
        )
    return pd.DataFrame(rows, columns=CELLS)


def decoding(record: Record[CostNumbers]) -> pd.DataFrame:
    """The medians of `cells` of decoding at published shapes, of those timed at several batches."""
    table = cells(record).drop(columns="by_round")
    steps = table[
        (table["panel"] == "published")
        & (table["mode"] == "decode")
        & (table["context"] == CONTEXT)
    ]
    return steps.groupby("arm", sort=False).filter(lambda points: len(points) > 1)


def ratios(record: Record[CostNumbers], panel: str, reference: str) -> pd.DataFrame:
    """One row per arm and size of a panel: its time by that of the reference in the same rounds.

    `ratio` is the median over rounds, with quartiles, and `of_medians` the ratio of both medians.
    They are of whole models, so that where few layers stand for all of them, their numbers count.
    Sizes at which the reference did not run have no row.
    """
    table = cells(record)
    # The arms of a panel stand together; a size that comes again is of another panel's rounds.
    table["place"] = table[SIZE].ne(table[SIZE].shift()).any(axis=1).cumsum()
    table = table[table["panel"] == panel]
    bases = table.loc[table["arm"] == reference, ["place", "whole_ms", "by_round"]]
    pairs = table.merge(bases, on="place", suffixes=("", "_of_reference"))
    pairs["of_medians"] = pairs["whole_ms"] / pairs["whole_ms_of_reference"]
    rounds = zip(pairs["by_round"], pairs["by_round_of_reference"], strict=True)
    quartiles = [timing.ratio("ratio", *times) for times in rounds]
    return pairs.join(pd.DataFrame(quartiles, columns=QUARTILES))[RATIOS]
