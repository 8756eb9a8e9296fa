"""The loss surface as frames: the loss along directions and over a plane, and how far it rises."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from moelib.records.kinds import Sweep
from moelib.records.record import Record
from moelib.report import paper
from moelib.report.effects import ratios
from moelib.report.frames import RUN, Sharp, Surfaces, flat, of_split, run_columns
from moelib.report.sharpness import tables as sharpness_tables

EIGENVECTOR, RANDOM = "top eigenvector", "random directions"  # the kinds of swept directions


def sweeps(records: Surfaces) -> pd.DataFrame:
    """One row per run, direction, split and radius: the loss there, and who is routed elsewhere.

    The rise (L(r) + L(-r)) / 2 - L(0), which does not depend on the sign, stands with r > 0.
    """
    return pd.DataFrame(
        {
            **run_columns(record),
            "direction": sweep.direction,
            "kind": EIGENVECTOR if sweep.direction == "eigenvector" else RANDOM,
            "split": sweep.split,
            "radius": radius,
            "loss": loss,
            "accuracy": accuracy,
            "rise": rise,
            "rerouted": rerouted,
        }
        for record in records
        for sweep in record.numbers.sweeps
        for radius, loss, accuracy, rise, rerouted in _points(sweep)
    )


def farthest(sweeps: pd.DataFrame) -> pd.DataFrame:
    """One row per run, split and kind of direction, at its largest radius, of either sign.

    Rise, accuracy and rerouted images are means over directions and signs.
    """
    ends = sweeps.assign(radius=sweeps["radius"].abs())
    farthest = ends.groupby(["study", "kind"])["radius"].transform("max")
    runs = ends[ends["radius"] == farthest].groupby([*RUN, "split", "kind", "radius"], sort=False)
    return runs[["rise", "accuracy", "rerouted"]].mean().reset_index()


def rises(sweeps: pd.DataFrame) -> pd.DataFrame:
    """One row per run and split: the rise at the largest radius, a column per kind of direction."""
    if sweeps.empty:
        return sweeps
    ends = farthest(sweeps).set_index([*RUN, "split", "kind"])["rise"]
    return ends.unstack(sort=False).reset_index()


def effects(records: Mapping[str, list[Record]], kind: str) -> pd.DataFrame:
    """The rise of the loss at the farthest step along a kind of direction, times dense."""
    quoted = {"train": paper.RISE} if kind == EIGENVECTOR else {}
    return ratios(rises(sweeps(flat(records))), kind, quoted)


def eigenvalues(records: Surfaces) -> pd.DataFrame:
    """One row per run: the eigenvalue, on training images, whose eigenvector was swept."""
    return pd.DataFrame(
        {
            **run_columns(record),
            "images": record.numbers.images,
            "eigenvalue": record.numbers.eigenvalue,
            "residual": record.numbers.eigenvalue_residual,
        }
        for record in records
    )


def larger_sample(sharp: Sharp, surfaces: Surfaces) -> pd.DataFrame:
    """One row per run of which the loss surface took more images: the largest eigenvalue of each.

    Of training images. Both analyses take the first ones of one permutation.
    """
    few = of_split(sharpness_tables.curvature(sharp), "train")[[*RUN, "images", "lambda_max"]]
    more = eigenvalues(surfaces).set_index(RUN).add_prefix("more_")
    both = few.join(more, on=RUN, how="inner").query("more_images > images")
    return both.assign(ratio=both["more_eigenvalue"] / both["lambda_max"])


def planes(records: Surfaces) -> pd.DataFrame:
    """One row per run, split and point of the plane of two directions: the loss there."""
    return pd.DataFrame(
        {
            **run_columns(record),
            "split": plane.split,
            "first": first,
            "second": second,
            "loss": loss,
        }
        for record in records
        for plane in record.numbers.planes
        for first, row in zip(plane.radii, plane.loss, strict=True)
        for second, loss in zip(plane.radii, row, strict=True)
    )


def _points(sweep: Sweep) -> Iterable[tuple[float, ...]]:
    """Radius, loss, accuracy, rise and rerouted images; NaN where there is no such number."""
    below = [np.nan] * (len(sweep.radii) - len(sweep.rise))  # radii ascend
    rerouted = sweep.rerouted or [np.nan] * len(sweep.radii)
    rises = [*below, *sweep.rise]
    return zip(sweep.radii, sweep.loss, sweep.accuracy, rises, rerouted, strict=True)
