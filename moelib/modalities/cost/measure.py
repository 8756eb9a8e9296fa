"""Time the panels of a grid, in bounded time, and keep what is known after every one."""

import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from moelib.analyses.timing import interleave, milliseconds
from moelib.modalities.cost import model
from moelib.modalities.cost.experts import EXECUTORS, Weights
from moelib.modalities.cost.grid import CEILING, Arm, Panel, cpu, gpu, shrunk, tiny
from moelib.modalities.cost.model import Call, Draw, Pool
from moelib.modalities.cost.predictions import PREDICTIONS
from moelib.modalities.cost.traces import TEXT, modalities, trace
from moelib.records.cost import Check, CostCell, CostNumbers, Peaks
from moelib.study.base import ConfigError

DRAWS = 4  # different traces, which layers take in turn
REPEATS = range(3, 10)  # rounds of a panel
ROUNDS_S = {"cuda": 1.5, "cpu": 8.0}  # seconds that the rounds of a panel may take
SHARE = 0.8  # of the free memory of a GPU for weights and caches: the rest is for activations
CPU_LAYERS = 1


@dataclass
class Machine:
    """Where it is measured, with all the numbers that models are made of."""

    device: str
    pool: Pool
    layers: int | None  # of each model; None: all
    generator: torch.Generator


@dataclass
class Candidate:
    """An arm that can be run, and what is known of it before."""

    arm: Arm
    layers: int
    run: Callable[[], object] | None
    graphed: bool = False
    draws: tuple[Draw, ...] = ()
    tokens: int = 0
    fault: str | None = None


def measure(
    device: str, seconds: float, *, small: bool, beside: str = ""
) -> Iterator[tuple[str, CostNumbers]]:
    """Time the grid of a device within `seconds`; after every panel its name and all that is known.

    What no time is left for is left out, and the numbers say so.

    Args:
        device: "cpu" or "cuda".
        seconds: from now on; a panel that has begun stops between two arms.
        small: shrink the shapes: a rehearsal, whose times mean nothing.
        beside: what else the machine does meanwhile.
    """
    deadline = time.monotonic() + seconds
    before = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    panels = list(tiny() if small else gpu() if device == "cuda" else cpu())
    if small:
        panels = [_small(panel) for panel in panels]
    machine = prepare(device, panels)
    peaks = measure_peaks(machine)
    checks = tuple(check_executors(device))
    cells: list[CostCell] = []
    arms = [arm for panel in panels for arm in panel.arms]
    shapes = {arm.shape.name: arm.shape for arm in arms}

    def numbers(done: int) -> CostNumbers:
        return CostNumbers(
            tiny=small,
            seconds=seconds,
            whole=done == len(panels) and time.monotonic() < deadline,
            beside=beside,
            loads=(before, os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0),
            predictions=PREDICTIONS,
            peaks=peaks,
            checks=checks,
            shapes=tuple(shapes.values()),
            cells=tuple(cells),
        )

    yield "peaks and checks", numbers(0)
    for done, panel in enumerate(panels, start=1):
        if time.monotonic() >= deadline:
            return
        cells += measure_panel(panel, machine, deadline)
        yield (
            f"{panel.name}, {panel.part}, {panel.mode}, {panel.batch}x{panel.context}",
            numbers(done),
        )


def prepare(device: str, panels: Iterable[Panel]) -> Machine:
    """Fill the pool, with as much as the largest arm needs or the device can spare."""
    layers = CPU_LAYERS if device == "cpu" else None
    needed = max(_needed(panel, arm, layers) for panel in panels for arm in panel.arms)
    if device == "cuda":
        gc.freeze()  # every capture of a graph collects garbage first: not among imported modules
        free, _ = torch.cuda.mem_get_info()
        needed = min(needed, int(free * SHARE) // 2)
    return Machine(device, Pool(needed, device), layers, torch.Generator(device).manual_seed(0))


def measure_panel(panel: Panel, machine: Machine, deadline: float) -> list[CostCell]:
    """A cell for each arm that there was time for: of those that ran, times of the same rounds."""
    with torch.inference_mode():
        candidates = []
        for arm in panel.arms:
            if time.monotonic() >= deadline:
                break
            candidates.append(prepare_candidate(arm, panel, machine))
        running = [candidate for candidate in candidates if candidate.run is not None]
        try:
            rounds = _rounds(running, machine, deadline)
        except RuntimeError as error:  # such as too little memory
            rounds = [()] * len(running)
            for candidate in running:
                candidate.fault = _words(error)
        times = dict(zip(map(id, running), rounds, strict=True))
        cells = [_cell(panel, candidate, times.get(id(candidate), ())) for candidate in candidates]
        del running, candidates
    if machine.device == "cuda":
        torch.cuda.empty_cache()  # the graphs' memory
    return cells


def prepare_candidate(arm: Arm, panel: Panel, machine: Machine) -> Candidate:
    """Weights, cache, plans and, on a GPU, the graph of an arm; or the reason why it cannot run."""
    layers = arm.layers or machine.layers or arm.shape.layers
    shape = arm.shape
    if (
        layers < shape.layers and shape.dense_layers
    ):  # the layers that are run stand for the usual one
        shape = shape.model_copy(update={"dense_layers": 0, "dense_hidden": 0})
    tokens = panel.batch * (1 if panel.mode == "decode" else panel.context)
    candidate = Candidate(arm, layers, None, tokens=tokens)
    if panel.mode == "prefill" and tokens > CEILING:
        candidate.fault = f"more than {CEILING:,} tokens"
        return candidate
    try:
        candidate.draws = tuple(_draws(arm, panel, machine, min(DRAWS, layers)))
        work = _work(shape, arm, panel, machine, layers, candidate.draws)
        work()  # the first call chooses kernels
        candidate.run = work
    except (ConfigError, RuntimeError) as error:  # too little memory is one of the latter
        candidate.fault = _words(error)
        return candidate
    if machine.device == "cuda" and arm.executor != "loop":
        try:
            candidate.run, candidate.graphed = _graphed(work), True
        except RuntimeError as error:  # it is timed kernel by kernel then
            candidate.fault = f"no CUDA graph: {_words(error)}"
    return candidate


def measure_peaks(machine: Machine) -> Peaks:
    """Rates of a large product of random matrices, of a large copy, and of a large reading."""
    side, size = (8192, 2**30) if machine.device == "cuda" else (2048, 2**27)
    numbers = machine.pool.numbers
    side = min(side, int((len(numbers) // 2) ** 0.5))
    a, b = numbers[: side * side].view(side, side), numbers[-side * side :].view(side, side)
    source = numbers[: min(size, len(numbers)) // side * side]
    target, matrix, vector = torch.empty_like(source), source.view(-1, side), a[0]
    moved = source.numel() * source.element_size()
    product, copy, read = (
        min(milliseconds(work, device=machine.device) for _ in range(8))
        for work in (lambda: a @ b, lambda: target.copy_(source), lambda: matrix @ vector)
    )
    return Peaks(
        teraflops=2 * side**3 / product / 1e9,
        gigabytes=2 * moved / copy / 1e6,
        read_gigabytes=moved / read / 1e6,
    )


def check_executors(device: str) -> Iterator[Check]:
    """Every executor on every kind of trace, beside the plain sum over experts in float32."""
    n, experts, k, d, h = 96, 8, 3, 64, 32
    generator = torch.Generator(device).manual_seed(0)
    pool = Pool(2**17, device)
    weights = Weights(pool.take(experts, 2 * h, d) * 10, pool.take(experts, d, h) * 10)
    features = torch.randn(n, d, generator=generator, device=device).to(torch.bfloat16)
    modality = torch.arange(n) % 2
    for name in ("uniform", "adversarial", "partitioned", "variable"):
        draw = model.draw(trace(name, modality, experts, k, generator), k)
        plan = model.plan(draw.trace.scores, k, draw)
        exact = Weights(*(stacked.float() for stacked in weights))
        reference = EXECUTORS["masked"](features.float(), plan, exact)
        for executor, compute in EXECUTORS.items():
            try:
                outputs = compute(features, plan, weights).float()
                error = ((outputs - reference).norm() / reference.norm()).item()
                finite = error == error and error < float("inf")
                yield Check(
                    executor=executor,
                    trace=name,
                    error=error if finite else None,
                    fault=None if finite else "the outputs are not finite",
                )
            except RuntimeError as failure:
                yield Check(executor=executor, trace=name, error=None, fault=_words(failure))


def _rounds(
    candidates: list[Candidate], machine: Machine, deadline: float
) -> list[tuple[float, ...]]:
    """Milliseconds of each candidate in rounds of all: as many rounds as there is time for."""
    if not candidates:
        return []
    timed = [
        partial(milliseconds, candidate.run, device=machine.device) for candidate in candidates
    ]
    first = sum(call() for call in timed) / 1e3
    left = min(ROUNDS_S[machine.device], deadline - time.monotonic())
    repeats = max(REPEATS.start, min(REPEATS.stop, int(left / first)) - 1)
    return interleave(*timed, repeats=repeats)


def _draws(arm: Arm, panel: Panel, machine: Machine, number: int) -> Iterator[Draw]:
    if not arm.routed:
        return
    shape = arm.shape
    if panel.mode == "decode":  # an answer is words
        modality = torch.full((panel.batch,), TEXT)
    else:
        modality = modalities(panel.batch, panel.context)
    for _ in range(number):
        drawn = trace(arm.trace, modality, shape.experts, shape.k, machine.generator)
        yield model.draw(drawn, shape.k)


def _work(
    shape, arm: Arm, panel: Panel, machine: Machine, layers: int, draws: tuple[Draw, ...]
) -> Callable[[], Tensor]:
    """One pass, as a function without arguments."""
    pool, device = machine.pool, machine.device
    pool.taken = 0
    whole = panel.part == "model"
    built = model.build_layers(shape, pool, layers, attention=whole)
    start = panel.context - 1 if panel.mode == "decode" else 0
    positions = model.rotation(panel.context, shape, start, device)
    call = Call(shape, arm.executor, list(draws), positions)
    tokens = panel.context - start
    features = torch.randn(
        *(panel.batch, tokens, shape.width),
        generator=machine.generator,
        device=device,
        dtype=torch.bfloat16,
    )
    if not whole:
        return partial(model.perceptrons, features.flatten(0, 1), built, call)
    caches = None
    if panel.mode == "decode":
        size = (panel.batch, shape.cached_heads, panel.context, shape.head_width)
        caches = [(pool.take(*size), pool.take(*size)) for _ in built]
    complete = layers == shape.layers
    unembedding = pool.take(shape.vocabulary, shape.width) if complete else None
    return partial(model.forward, features, built, caches, unembedding, call)


def _graphed(work: Callable[[], object]) -> Callable[[], None]:
    """The same work as one CUDA graph: the host launches it once, and not kernel by kernel."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = work()
    torch.cuda.synchronize()

    def replay(kept: tuple = (work, outputs)) -> None:  # the graph knows their memory alone
        graph.replay()

    return replay


def _cell(panel: Panel, candidate: Candidate, times: tuple[float, ...]) -> CostCell:
    draws, number = candidate.draws, max(1, len(candidate.draws))
    part = panel.part
    if part == "model" and candidate.layers < candidate.arm.shape.layers:
        part = "block"
    return CostCell(
        panel=panel.name,
        arm=candidate.arm.name,
        shape=candidate.arm.shape.name,
        part=part,
        mode=panel.mode,
        batch=panel.batch,
        context=panel.context,
        layers=candidate.layers,
        executor=candidate.arm.executor if candidate.arm.routed else None,
        trace=candidate.arm.trace if candidate.arm.routed else None,
        graphed=candidate.graphed,
        milliseconds=tuple(round(value, 5) for value in times),
        slots=sum(d.slots for d in draws) / number / candidate.tokens if draws else None,
        touched=sum(d.touched for d in draws) / number if draws else None,
        largest=sum(d.largest for d in draws) / number if draws else None,
        fault=candidate.fault,
    )


def _needed(panel: Panel, arm: Arm, layers: int | None) -> int:
    """Numbers that an arm takes of the pool, and some to align them."""
    shape = arm.shape
    layers = arm.layers or layers or shape.layers
    share = layers / shape.layers
    cached = shape.cached * panel.batch * panel.context if panel.mode == "decode" else 0
    body = shape.model_copy(update={"dense_layers": 0, "dense_hidden": 0}).body(shape.experts)
    rest = shape.width * shape.vocabulary if layers == shape.layers else 0
    return int(1.01 * (share * (body + cached) + rest)) + 2**20


def _small(panel: Panel) -> Panel:
    return replace(panel, arms=tuple(replace(arm, shape=shrunk(arm.shape)) for arm in panel.arms))


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
