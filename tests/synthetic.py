"""Synthetic records of small studies, for the tests of what reads records."""

import json
from base64 import b64encode
from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image

from moelib.records.benchmarks import Aim, BenchmarkNumbers, Case, ScaleNumbers, ScalePoint
from moelib.records.kinds import (
    CrosscheckNumbers,
    Curvature,
    Density,
    EfficiencyNumbers,
    Eigenvalues,
    Epoch,
    Estimate,
    Footprint,
    GalleryNumbers,
    Group,
    Information,
    Matched,
    Metrics,
    Peer,
    Picture,
    Plane,
    SharpnessNumbers,
    SurfaceNumbers,
    Sweep,
    Timed,
    TrainNumbers,
    Usage,
    UtilizationNumbers,
    Work,
)
from moelib.records.provenance import digest, observe
from moelib.records.record import Numbers, Record, write_record
from moelib.study.executors import choose
from moelib.study.heads import has_experts
from moelib.study.reader import parse_study
from moelib.study.run import Run, results_root
from moelib.study.study import Study

_observed = cache(observe)  # git is asked for the commit each time

CLASSES, EXPERTS, IMAGES = ("cat", "dog", "ship"), 4, 21  # 21 bits do not fill their last byte


HEADS = {"dense": {"hidden": 8}, "soft": {"experts": 4}, "sparse": {"experts": 4}}


def recorded(measured):
    """What a record keeps of it: numbers of as many digits as its kind has, six for a part."""
    digits = getattr(measured, "digits", Numbers.digits)
    text = measured.model_dump_json()
    kept = json.loads(text, parse_float=lambda number: float(f"{float(number):.{digits}g}"))
    return type(measured).model_validate_json(json.dumps(kept))


def study(
    name: str = "tiny", seeds: tuple[int, ...] = (0, 1, 2), heads: dict = HEADS, **training
) -> Study:
    """A study with a dense, a soft and a sparse head, unless others are given."""
    return parse_study(
        {
            "name": name,
            "description": "Nothing was trained for it.",
            "data": {"source": "digits", "test_share": 0.25},
            "backbone": {"kind": "small_resnet", "widths": [4, 8]},
            "heads": heads,
            "seeds": list(seeds),
            "protocol": "corrected",
            "training": {"epochs": 3, "schedule": {"kind": "onecycle"}, **training},
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
            watched=_watched(epoch) if experts else None,
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
        weights={"last": digest([f"{run.study.name} {run.head} {run.seed}".encode()])},
    )
    return _record(run, numbers, epoch_seconds=(1.0, 3.0, 2.0))


def _watched(epoch: int) -> tuple[int, int]:
    """Experts of two images: the first moves to its last one in the second epoch."""
    return (1 if epoch == 1 else 0, 3)


def gallery(run: Run, noisy: bool = True) -> Record[GalleryNumbers]:
    """A gallery of three test images, of which the first expert gets two, and the watched ones."""
    sprite = Image.fromarray(np.arange(5 * 64, dtype=np.uint8).reshape(40, 8))
    buffer = BytesIO()
    sprite.save(buffer, "JPEG")

    def picture(split: str, index: int, chosen: int, predicted: int = 0) -> Picture:
        logits = tuple(2.0 if expert == chosen else 1.0 - expert / 10 for expert in range(EXPERTS))
        deviations = (0.5,) * EXPERTS if noisy else None
        outcome = {"label": 0, "predicted": predicted, "probability": 0.9}
        return Picture(split=split, index=index, logits=logits, noise=deviations, **outcome)

    numbers = GalleryNumbers(
        epoch=3,
        images=IMAGES,
        classes=CLASSES,
        k=2,
        temperature=1.0,
        bias=None,
        class_expert=((6, 1, 0, 0), (0, 7, 0, 0), (3, 4, 0, 0)),
        moved_by_noise=0.25 if noisy else None,
        size=(8, 8),
        sprite=b64encode(buffer.getvalue()).decode(),
        pictures=(
            *(picture("test", 0, 0), picture("test", 1, 0, predicted=2), picture("test", 2, 1)),
            *(picture("validation", 0, 0), picture("validation", 1, 3)),
        ),
        certain=((0,), (2,), (), ()),
        uncertain=((1,), (2,), (), ()),
        wrong=((1,), (), (), ()),
        watched=(3, 4),
    )
    return _record(run, numbers)


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


def sharp(run: Run, train: float = 2.0, test: float = 60.0, trace: float = 10.0):
    """A record of sharpness: its largest eigenvalues, and the trace as a multiple of them."""
    experts = has_experts(run.study.heads[run.head])
    numbers = SharpnessNumbers(
        epoch=3,
        parameters=1000,
        weight_norm=10.0,
        gate_noise_removed=False,
        train=_curvature(train, trace, experts),
        test=_curvature(test, trace, experts),
    )
    return _record(run, numbers)


def _curvature(largest: float, trace: float, experts: bool) -> Curvature:
    names = ("all", "backbone", "head", *(("gate", "experts", "expert 0") if experts else ()))
    return Curvature(
        images=IMAGES,
        loss=0.1,
        accuracy=0.9,
        confidence=0.95,
        gradient_norm=0.01,
        eigenvalues=_eigenvalues(largest),
        trace=_estimate(trace * largest),
        groups={name: Group(parameters=200, trace=_estimate(largest)) for name in names},
        density=Density(
            nodes=(-0.05 * largest, 0.0, 0.5 * largest, largest),
            weights=(0.01, 0.96, 0.02, 0.01),
            bandwidth=0.0105 * largest,
            negative_mass=0.01,
            negative_share=0.02,
            probes=4,
        ),
        gauss_newton=_eigenvalues(0.9 * largest),
        adaptive=_eigenvalues(0.3),
        adaptive_trace=_estimate(3.0),
        average_rise=0.02,
        average_rise_error=0.001,
        worst_rise=0.04,
        matched=Matched(
            temperature=2.5,
            loss=0.5,
            eigenvalues=_eigenvalues(largest / 3),
            trace=_estimate(trace * largest / 3),
        ),
    )


def _eigenvalues(largest: float) -> Eigenvalues:
    return Eigenvalues(
        largest=tuple(largest / rank for rank in (1, 2, 3, 4, 5)),
        residuals=(0.001 * largest,) * 5,
        lowest=-0.05 * largest,
        lowest_residual=0.001 * largest,
        converged=True,
        products=30,
    )


def _estimate(value: float) -> Estimate:
    return Estimate(
        value=value, standard_error=0.01 * abs(value), products=20, stopped="standard error"
    )


def write_crosscheck(head: str = "dense") -> Record[CrosscheckNumbers]:
    """A record of PyHessian beside this project, under the name that its script gives it."""
    record = _record(Run(study(), head, 0), crosschecked())
    return write_record(results_root() / "crosscheck" / f"{head}.some-cpu.json", record)


def crosschecked() -> CrosscheckNumbers:
    """Of two calls of PyHessian one returns an unsorted list, and a trace from two probes."""
    largest = (10.0, 8.0, 6.0)
    reference = _eigenvalues(10.0).model_copy(update={"largest": largest})
    approximation = reference.model_copy(update={"largest": (10.0, 8.0, 6.03)})
    return CrosscheckNumbers(
        images=IMAGES,
        reference=reference,
        eigenvalues=approximation,
        eigenvalues_seconds=1.0,
        peer_eigenvalues=(
            Peer(values=(9.9, 8.0, 6.0), products=90, seconds=9.0),
            Peer(values=(8.0, 10.0, 6.0), products=120, seconds=12.0),
        ),
        reference_trace=_estimate(40.0),
        trace=_estimate(40.4),
        trace_seconds=1.0,
        peer_traces=(
            Peer(values=(30.0, 30.0), products=2, seconds=0.2),
            Peer(values=(38.0, 42.0, 40.0), products=3, seconds=0.3),
        ),
        peer_density_error="RuntimeError: gone",
    )


def surfaced(run: Run, bend: float = 4.0) -> Record[SurfaceNumbers]:
    """A record of the loss surface, on which the loss is 0.1 + bend r^2 + r^3 at each radius r."""
    selects = hasattr(run.study.heads[run.head], "k")
    radii = (-0.5, -0.25, 0.0, 0.25, 0.5)

    def sweep(direction: str, split: str) -> Sweep:
        rises = [bend * radius**2 for radius in radii]
        return Sweep(
            direction=direction,
            split=split,
            length=1.0 if direction == "eigenvector" else 10.0,
            radii=radii,
            loss=tuple(0.1 + rise + r**3 for rise, r in zip(rises, radii, strict=True)),
            accuracy=tuple(0.9 - abs(radius) for radius in radii),
            rise=tuple(rises[-2:]),
            rerouted=tuple(abs(radius) for radius in radii) if selects else None,
        )

    loss = tuple(tuple(0.1 + bend * (a**2 + b**2) for b in radii) for a in radii)
    numbers = SurfaceNumbers(
        epoch=3,
        images=IMAGES,
        weight_norm=10.0,
        gate_noise_removed=False,
        eigenvalue=2.0,
        eigenvalue_residual=0.01,
        sweeps=tuple(
            sweep(direction, split)
            for direction in ("eigenvector", "random 0", "random 1")
            for split in ("train", "test")
        ),
        planes=tuple(Plane(split=split, radii=radii, loss=loss) for split in ("train", "test")),
    )
    return _record(run, numbers)


def efficient(run: Run, slower: float = 1.0, repeats: int = 6) -> Record[EfficiencyNumbers]:
    """A record of efficiency: each way takes `slower` times as long as the reference beside it."""
    experts = has_experts(run.study.heads[run.head])

    def timed(part: str, what: str, batch: int, ms: float, **choices) -> Timed:
        times = tuple(ms * batch * (1 + 0.1 * i) for i in range(repeats))  # pairs drift alike
        options = {"executor": None, "routing": None, "compiled": False} | choices
        return Timed(part=part, what=what, batch=batch, milliseconds=times, **options)

    auto = {"executor": "auto", "routing": "learned"} if experts else {}
    entries = []
    for batch in (1, 256):
        entries.append(timed("input", "normalise", batch, 0.01))
        entries.append(timed("head", "reference", batch, 0.1))
        entries.append(timed("head", "this head", batch, 0.1 * slower, **auto))
        if experts:
            for executor, routing in (("loop", "learned"), ("auto", "skewed")):
                choice = {"executor": executor, "routing": routing}
                entries.append(timed("head", "this head", batch, 0.2 * slower, **choice))
        entries.append(timed("model", "backbone", batch, 1.0))
        entries.append(timed("model", "reference", batch, 1.1))
        entries.append(timed("model", "this head", batch, 1.1 * slower, **auto))
    numbers = EfficiencyNumbers(
        precision="fp32",
        reference_hidden=32 if experts else None,
        work=Work(
            head_parameters=100,
            active_parameters=40 if experts else 100,
            total_parameters=1000,
            head_macs=50,
            head_macs_closed=50,
            executed_macs=80,
            backbone_macs=950,
        ),
        chosen={"1": "batched", "256": "grouped"} if experts else {},
        timed=tuple(entries),
        footprints=(Footprint(batch=256, weights_mib=0.5, peak_mib=20.0),),
    )
    return _record(run, numbers)


def scaled() -> Record[ScaleNumbers]:
    """Sparse heads of two widths whose times follow the terms of a linear cost model exactly."""
    points = []
    for experts in (4, 8, 16, 32, 64):
        for hidden in (64, 512):
            for batch in (1, 32, 256):
                for k in (1, 2, experts):
                    macs = batch * 512 * hidden / 1e7  # ms of one expert on all images
                    routing = 0.07 + macs * experts / hidden  # with the gate
                    chosen_only = routing + 0.01 * min(experts, batch * k) + k * macs
                    ms = {
                        "batched": routing + experts * macs,
                        "loop": chosen_only,
                        "grouped": chosen_only,
                    }
                    size = {"experts": experts, "features": 512, "hidden": hidden}
                    points.append(
                        ScalePoint(
                            **size,
                            k=k,
                            batch=batch,
                            dtype="float32",
                            chosen=choose(batch, k, **size),
                            sparse={name: (time,) * 6 for name, time in ms.items()},
                            total=(0.02 + experts * macs,) * 6,
                            active=(0.02 + k * macs,) * 6,
                        )
                    )
    aim = {"experts": 64, "k": 2, "features": 512, "hidden": 512, "batch": 256}
    numbers = ScaleNumbers(
        classes=10,
        gigaflops={"float32": 100.0},
        gigabytes=10.0,
        aim=Aim(**aim, speedup=15.0, overhead=2.0),
        points=tuple(points),
    )
    return Record(kind="scale", inputs={}, numbers=numbers, provenance=observe())


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


def write_galleries(study: Study) -> None:
    """Write the gallery of the first seed of every head with experts."""
    for head, settings in study.heads.items():
        if has_experts(settings):
            run = Run(study, head, study.seeds[0])
            write_record(run.record_path("gallery"), gallery(run, noisy=head == "sparse"))


def write_landscapes(study: Study) -> None:
    """Write the records of sharpness and of the loss surface of every run of a study."""
    for seed in study.seeds:
        for rank, head in enumerate(study.heads, start=1):
            run = Run(study, head, seed)
            sharper = rank * (1 + seed * rank / 10)  # seeds differ, and by head
            write_record(run.record_path("sharpness"), sharp(run, sharper, 30 * sharper))
            write_record(run.record_path("surface"), surfaced(run, sharper))


def write_costs(study: Study) -> None:
    """Write the record of efficiency of the first seed of every head, and one of scale."""
    for rank, head in enumerate(study.heads):
        run = Run(study, head, study.seeds[0])
        write_record(run.record_path("efficiency"), efficient(run, 1 + rank / 10))
    write_record(results_root() / "scale" / "scale.some-cpu.json", scaled())


def write_benchmark() -> None:
    """Write the record of a benchmark under the results root."""
    write_record(results_root() / "benchmarks" / "step.some-cpu.json", benchmark())


def _record(run: Run, numbers, **provenance) -> Record:
    return Record(
        kind=numbers.kind,
        study=run.study.only(run.head),
        head=run.head,
        seed=run.seed,
        inputs={},
        numbers=numbers,
        provenance=_observed(**provenance).model_copy(update={"threads": 1}),
    )
