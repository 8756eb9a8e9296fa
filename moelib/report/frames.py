"""Records as tidy pandas frames: one row per observation, one column per variable.

Frames of runs start with the columns study, head, seed. Accuracies are shares, entropies in nats.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from moelib.records.kinds import (
    SMALL_EIGENVALUE,
    Eigenvalues,
    Estimate,
    Matched,
    SharpnessNumbers,
    SurfaceNumbers,
    Sweep,
    TrainNumbers,
    UtilizationNumbers,
)
from moelib.records.record import Record
from moelib.study.analyses import Sharpness

EIGENVECTOR, RANDOM = "top eigenvector", "random directions"  # the kinds of swept directions
MATCHED = (  # columns that a run has where a temperature matches its loss
    *("matched_temperature", "matched_max", "matched_max_converged"),
    *(f"matched_trace{part}" for part in ("", "_error", "_probes", "_stopped")),
)
Trained = Iterable[Record[TrainNumbers]]
Analysed = Iterable[Record[UtilizationNumbers]]
Sharp = Iterable[Record[SharpnessNumbers]]
Surfaces = Iterable[Record[SurfaceNumbers]]


# -- training -------------------------------------------------------------------------------------


def finals(records: Trained) -> pd.DataFrame:
    """One row per run: what was tested, and how well it did."""
    return pd.DataFrame(
        {
            **run_columns(record),
            "head_parameters": record.numbers.head_parameters,
            "total_parameters": record.numbers.total_parameters,
            "test_images": record.numbers.images["test"],
            "tested_epoch": record.numbers.tested_epoch,
            "test_accuracy": record.numbers.test.accuracy,
            "test_loss": record.numbers.test.loss,
            "best_validation_epoch": record.numbers.best_validation_epoch,
            "best_validation_accuracy": max(e.validation.accuracy for e in record.numbers.epochs),
            "last_train_accuracy": record.numbers.epochs[-1].train.accuracy,
            "seconds": record.provenance.wall_time_s,
        }
        for record in records
    )


def epochs(records: Trained) -> pd.DataFrame:
    """One row per run, epoch and split (train, validation): loss, accuracy, entropy of the gate."""
    return pd.DataFrame(
        {
            **run_columns(record),
            "epoch": epoch.epoch,
            "split": split,
            "loss": metrics.loss,
            "accuracy": metrics.accuracy,
            "entropy": metrics.entropy,
        }
        for record, epoch, split, metrics in _curves(records)
    )


def usage_per_epoch(records: Trained) -> pd.DataFrame:
    """One row per run, epoch, split and expert: its shares of gate mass and of selections."""
    return pd.DataFrame(
        {**run_columns(record), "epoch": epoch.epoch, "split": split, **expert}
        for record, epoch, split, metrics in _curves(records)
        if metrics.gate_mass is not None
        for expert in _experts(metrics.gate_mass, metrics.load)
    )


def test_correct(record: Record[TrainNumbers]) -> np.ndarray:
    """Which test images (n,) the run classifies rightly, decoded from the record's bits."""
    packed = np.frombuffer(bytes.fromhex(record.numbers.test_correct), dtype=np.uint8)
    return np.unpackbits(packed, count=record.numbers.images["test"]).astype(bool)


test_correct.__test__ = False  # a function of frames, and not one of pytest's


def _curves(records: Trained):
    for record in records:
        for epoch in record.numbers.epochs:
            yield record, epoch, "train", epoch.train
            yield record, epoch, "validation", epoch.validation


# -- utilization ----------------------------------------------------------------------------------


def usage_summary(records: Analysed) -> pd.DataFrame:
    """One row per run and split: balance, entropy, dead experts, mutual information, its null."""
    return pd.DataFrame(
        {
            **run_columns(record),
            "split": split,
            "epoch": record.numbers.epoch,
            "gate_mass_variation": usage.gate_mass_variation,
            "load_variation": usage.load_variation,
            "entropy": usage.entropy,
            "entropy_bound": usage.entropy_bound,
            "dead_experts": len(usage.dead),
            "epochs_with_dead": sum(dead > 0 for dead in record.numbers.dead_per_epoch),
            "information": usage.information.value,
            "information_bound": usage.information.bound,
            "null_mean": usage.information.null_mean,
            "null_95": usage.information.null_95,
            "p_value": usage.information.p_value,
        }
        for record, split, usage in splits(records)
    )


def expert_usage(records: Analysed) -> pd.DataFrame:
    """One row per run, split and expert: its shares of gate mass and of selections."""
    return pd.DataFrame(
        {**run_columns(record), "split": split, **expert}
        for record, split, usage in splits(records)
        for expert in _experts(usage.gate_mass, usage.load)
    )


def class_expert(records: Analysed, split: str = "test") -> pd.DataFrame:
    """One row per run, class and expert: the expert's share of the class's gate mass."""
    return pd.DataFrame(
        {**run_columns(record), "class": c, "expert": e, "share": value}
        for record, name, usage in splits(records)
        if name == split
        for c, row in enumerate(usage.class_expert)
        if row is not None
        for e, value in enumerate(_shares(row))
    )


def splits(records: Iterable[Record]):
    """Each record with the name and the numbers of each of its splits."""
    for record in records:
        yield record, "train", record.numbers.train
        yield record, "test", record.numbers.test


def _experts(gate_mass: Iterable[float], load: Iterable[float]):
    pairs = zip(_shares(gate_mass), _shares(load), strict=True)
    for e, (mass, selections) in enumerate(pairs):
        yield {"expert": e, "gate_mass": mass, "selections": selections}


def _shares(values: Iterable[float]) -> np.ndarray:
    # Gates of a switch head sum to less than 1, loads to k: as shares all are comparable with 1/E.
    values = np.asarray(values)
    return values / values.sum()


# -- curvature ------------------------------------------------------------------------------------


def curvature(records: Sharp) -> pd.DataFrame:
    """One row per run and split: eigenvalues, traces, adaptive sharpness, matched loss.

    Eigenvalues count as converged by the residual that the study asks for, relative to each, and
    not by what the program of their time called so.
    """
    return pd.DataFrame(
        {
            **run_columns(record),
            "split": split,
            "images": numbers.images,
            "epoch": record.numbers.epoch,
            "loss": numbers.loss,
            "accuracy": numbers.accuracy,
            "confidence": numbers.confidence,
            "gradient_norm": numbers.gradient_norm,
            "parameters": record.numbers.parameters,
            **_largest("lambda_max", numbers.eigenvalues, _sizes(record).residual),
            "residual": numbers.eigenvalues.residuals[0],
            "top": numbers.eigenvalues.largest,
            **_lowest(numbers.eigenvalues, _sizes(record).residual),
            **estimate("trace", numbers.trace),
            "trace_per_parameter": numbers.trace.value / record.numbers.parameters,
            **_largest("gauss_newton_max", numbers.gauss_newton, _sizes(record).residual),
            **_largest("adaptive_max", numbers.adaptive, _sizes(record).residual),
            **estimate("adaptive_trace", numbers.adaptive_trace),
            "average_rise": numbers.average_rise,
            "average_rise_error": numbers.average_rise_error,
            "worst_rise": numbers.worst_rise,
            **_matched(numbers.matched, _sizes(record).residual),
        }
        for record, split, numbers in splits(records)
    )


def larger_sample(sharp: Sharp, surfaces: Surfaces) -> pd.DataFrame:
    """One row per run of which the loss surface took more images: the largest eigenvalue of each.

    Of training images. Both analyses take the first ones of one permutation.
    """
    run = ["study", "head", "seed"]
    few = curvature(sharp).query("split == 'train'")[[*run, "images", "lambda_max"]]
    names = {"images": "more_images", "eigenvalue": "more_lambda_max"}
    many = swept_eigenvalues(surfaces).drop(columns="residual").rename(columns=names)
    both = few.merge(many, on=run).query("more_images > images")
    return both.assign(ratio=both["more_lambda_max"] / both["lambda_max"])


def _sizes(record: Record[SharpnessNumbers]) -> Sharpness:
    return record.study.analyses.sharpness


def _largest(name: str, eigenvalues: Eigenvalues, residual: float) -> dict[str, float]:
    sizes = np.abs(eigenvalues.largest)
    allowed = residual * np.maximum(sizes, SMALL_EIGENVALUE * sizes.max())
    converged = bool((np.array(eigenvalues.residuals) <= allowed).all())
    return {name: eigenvalues.largest[0], f"{name}_converged": converged}


def _lowest(eigenvalues: Eigenvalues, residual: float) -> dict[str, float]:
    scale = max(abs(eigenvalues.lowest), SMALL_EIGENVALUE * abs(eigenvalues.largest[0]))
    return {
        "lambda_min": eigenvalues.lowest,
        "lambda_min_residual": eigenvalues.lowest_residual,
        "lambda_min_converged": eigenvalues.lowest_residual <= residual * scale,
    }


def estimate(name: str, estimate: Estimate) -> dict[str, object]:
    """Columns of a mean over probes: value, standard error, probes, and what stopped them."""
    return {
        name: estimate.value,
        f"{name}_error": estimate.standard_error,
        f"{name}_probes": estimate.products,
        f"{name}_stopped": estimate.stopped,
    }


def _matched(matched: Matched | None, residual: float) -> dict[str, object]:
    if matched is None:
        return dict.fromkeys(MATCHED, np.nan)
    return {
        "matched_temperature": matched.temperature,
        **_largest("matched_max", matched.eigenvalues, residual),
        **estimate("matched_trace", matched.trace),
    }


# -- loss surface ---------------------------------------------------------------------------------


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
            "length": sweep.length,
            "loss": loss,
            "accuracy": accuracy,
            "rise": rise,
            "rerouted": rerouted,
        }
        for record in records
        for sweep in record.numbers.sweeps
        for radius, loss, accuracy, rise, rerouted in _points(sweep)
    )


def swept_eigenvalues(records: Surfaces) -> pd.DataFrame:
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


def farthest(sweeps: pd.DataFrame) -> pd.DataFrame:
    """One row per run, split and kind of direction, at its largest radius, of either sign.

    Rise, accuracy and rerouted images are means over directions and signs.
    """
    ends = sweeps.assign(radius=sweeps["radius"].abs())
    ends = ends[ends["radius"] == ends.groupby("kind")["radius"].transform("max")]
    keys = ["study", "head", "seed", "split", "kind", "radius"]
    means = ends.groupby(keys, sort=False)[["rise", "accuracy", "rerouted"]].mean()
    return means.reset_index()


def rises(sweeps: pd.DataFrame) -> pd.DataFrame:
    """One row per run and split: the rise at the largest radius, a column per kind of direction."""
    ends = farthest(sweeps).set_index(["study", "head", "seed", "split"])
    kinds = (ends[ends["kind"] == kind]["rise"].rename(kind) for kind in (EIGENVECTOR, RANDOM))
    return pd.concat(kinds, axis="columns").reset_index()


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
    unknown = (np.nan,) * len(sweep.radii)
    rises = (*unknown[: len(sweep.radii) - len(sweep.rise)], *sweep.rise)  # radii ascend
    rerouted = unknown if sweep.rerouted is None else sweep.rerouted
    return zip(sweep.radii, sweep.loss, sweep.accuracy, rises, rerouted, strict=True)


# -- all ------------------------------------------------------------------------------------------


def run_columns(record: Record) -> dict:
    """Say of which run a record is: the first columns of every frame of runs."""
    return {"study": record.study.name, "head": record.head, "seed": record.seed}
