"""Synthetic records of small studies, for the tests of what reads records."""

import numpy as np

from moelib.config import Study, has_experts
from moelib.kinds import (
    BenchmarkNumbers,
    Case,
    Epoch,
    Information,
    Metrics,
    TrainNumbers,
    Usage,
    UtilizationNumbers,
)
from moelib.provenance import observe
from moelib.record import Record, write_record
from moelib.run import Run, results_root
from moelib.study import parse_study

CLASSES, EXPERTS, IMAGES = ("cat", "dog", "ship"), 4, 21  # 21 bits do not fill their last byte


def study(name: str = "tiny", seeds: tuple[int, ...] = (0, 1, 2), **training) -> Study:
    """A study with a dense, a soft and a sparse head."""
    return parse_study(
        {
            "name": name,
            "description": "Nothing was trained for it.",
            "data": {"source": "digits", "test_share": 0.25},
            "backbone": {"kind": "small_resnet", "widths": [4, 8]},
            "heads": {"dense": {"hidden": 8}, "soft": {"experts": 4}, "sparse": {"experts": 4}},
            "seeds": list(seeds),
            "protocol": "corrected",
            "training": {"epochs": 3, **training},
        }
    )


def trained(run: Run, right: np.ndarray | None = None) -> Record[TrainNumbers]:
    """A record of training whose test images are classified rightly where `right` says so."""
    if right is None:
        right = np.random.default_rng(run.seed).random(IMAGES) < 0.8
    experts = has_experts(run.study.heads[run.head])

    def metrics(accuracy: float) -> Metrics:
        return Metrics(
            loss=2 - accuracy,
            accuracy=accuracy,
            gate_mass=(0.4, 0.3, 0.3, 0.0) if experts else None,
            load=(0.8, 0.6, 0.6, 0.0) if experts else None,
            entropy=0.5 if experts else None,
        )

    epochs = tuple(
        Epoch(
            epoch=epoch,
            learning_rate=0.1,
            train=metrics(0.3 * epoch),
            validation=metrics(0.25 * epoch),
            balance={},
        )
        for epoch in (1, 2, 3)
    )
    numbers = TrainNumbers(
        head_parameters=100,
        total_parameters=1000,
        images={"train": 60, "validation": 7, "test": len(right)},
        classes=CLASSES,
        epochs=epochs,
        best_validation_epoch=3,
        tested_epoch=3,
        test=metrics(float(right.mean())),
        test_correct=np.packbits(right).tobytes().hex(),
        weights={"last": "0" * 64},
    )
    return _record(run, numbers, epoch_seconds=(1.0, 3.0, 2.0))


def analysed(run: Run, gate_mass: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25)):
    """A record of utilization; the second class has no image."""
    information = Information(
        value=0.5,
        bound=1.1,
        null_mean=0.05,
        null_deviation=0.01,
        null_95=0.07,
        p_value=0.01,
        permutations=99,
    )
    usage = Usage(
        images=IMAGES,
        gate_mass=gate_mass,
        load=tuple(2 * mass for mass in gate_mass),
        gate_mass_variation=float(np.std(gate_mass) / np.mean(gate_mass)),
        load_variation=float(np.std(gate_mass) / np.mean(gate_mass)),
        entropy=0.6,
        entropy_bound=float(np.log(2)),
        dead=tuple(e for e, mass in enumerate(gate_mass) if mass == 0),
        class_expert=(gate_mass, None, (0.1, 0.1, 0.1, 0.1)),
        information=information,
    )
    return _record(
        run, UtilizationNumbers(epoch=3, train=usage, test=usage, dead_per_epoch=(1, 1, 0))
    )


def benchmark() -> Record[BenchmarkNumbers]:
    """A benchmark of two cases, the first 2, 3 and 4 times faster."""
    numbers = BenchmarkNumbers(
        name="step",
        question="How much faster?",
        baseline="one way",
        candidate="another",
        unit="ms",
        cases=(
            Case(
                setting={"batch": 8},
                baseline=(4.0, 6.0, 8.0),
                candidate=(2.0, 2.0, 2.0),
                target_ratio=2.0,
            ),
            Case(setting={"batch": 1}, baseline=(1.0, 1.0, 1.0), candidate=(1.0, 1.0, 1.0)),
        ),
    )
    return Record(kind="benchmark", inputs={}, numbers=numbers, provenance=observe())


def write_all(study: Study) -> None:
    """Write the records of every run of a study under the results root."""
    for seed in study.seeds:
        for head, settings in study.heads.items():
            run = Run(study, head, seed)
            right = np.random.default_rng([seed, len(head)]).random(IMAGES) < 0.8
            write_record(run.record_path("train"), trained(run, right))
            if has_experts(settings):
                write_record(run.record_path("utilization"), analysed(run))


def write_benchmark() -> None:
    """Write the record of a benchmark under the results root."""
    write_record(results_root() / "benchmarks" / "step.some-cpu.json", benchmark())


def _record(run: Run, numbers, **provenance) -> Record:
    return Record(
        kind=numbers.kind,
        study=run.study,
        head=run.head,
        seed=run.seed,
        inputs={},
        numbers=numbers,
        provenance=observe(**provenance),
    )
