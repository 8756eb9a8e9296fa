"""Sparse heads of many sizes beside dense ones of equal total and of equal active parameters.

Every head of one number of experts, width and batch is timed in one process, in rounds with all
others of it, in evaluation; a sparse head by every executor that fits. The plan gives all experts
equal shares; the gate is computed too, and is on top of what is equal. A size whose dense head
would need more than `LARGEST` multiply-accumulates is left out, but for the one with an aim, and so
is `batched` above `BATCHED`: it is far behind there, but for k = E, where nothing is sparse, and
for k = E / 2 of small experts.
"""

import itertools
import time
from functools import partial

import torch
from torch import nn
from tqdm import tqdm

from moelib.analyses.benchmark import command_line, free_path, write_benchmark
from moelib.analyses.efficiency import Routed
from moelib.analyses.timing import milliseconds, race
from moelib.heads.executors import EXECUTORS, fastest, fits
from moelib.heads.experts import Experts
from moelib.heads.gates import SparseGate
from moelib.heads.head import Mixture, build_head
from moelib.heads.routing import balanced_choices, fixed_routing
from moelib.records.benchmarks import Aim, ScaleNumbers, ScalePoint
from moelib.records.provenance import observe
from moelib.study.heads import Dense
from moelib.study.protocol import PROTOCOLS

CLASSES = 10
EXPERTS = (4, 8, 16, 32, 64, 128)
SPARSEST = 64  # largest E / k
WIDTHS = ((512, 64), (512, 512), (1024, 2048))  # d and h
BATCHES = (1, 32, 256, 2048)
LARGEST, BATCHED = 20e9, 2e9
AIMS = {"cpu": {"speedup": 15.0, "overhead": 2.0}, "cuda": {"speedup": 15.0, "overhead": 1.5}}
CURVE = tuple(2**i for i in range(12))  # batches, up to that of the aim
TARGET = {"experts": 64, "k": 2, "features": 1024, "hidden": 2048, "batch": 2048}
AT_LEAST = 2.0  # ms that one timing lasts


def measure(device: str, repeats: int) -> ScaleNumbers:
    """All sizes that are timed on this device, and what it can do at best."""
    torch.manual_seed(0)
    precisions = (torch.float32, torch.bfloat16)
    points = [
        point
        for size in tqdm(sizes(device), desc="sizes", mininterval=5)
        for point in compare(*size, device, repeats)
    ]
    return ScaleNumbers(
        classes=CLASSES,
        gigaflops={_name(dtype): gigaflops(dtype, device) for dtype in precisions},
        gigabytes=gigabytes(device),
        aim=Aim(**TARGET, **AIMS[device]),
        points=tuple(points),
    )


def sizes(device: str) -> list[tuple]:
    """(E, d, h, batch, ks, dtype): the grid in float32, and the size with an aim in bfloat16 too.

    On a GPU that has the whole curve over batches in bfloat16, for which it has grouped products.
    """
    grid = [
        (experts, *width, batch, _ks(experts), torch.float32)
        for experts, width, batch in itertools.product(EXPERTS, WIDTHS, BATCHES)
        if experts * width[0] * width[1] * batch <= LARGEST
    ]
    large, k = [TARGET[name] for name in ("experts", "features", "hidden")], [TARGET["k"]]
    curve = CURVE if device == "cuda" else (TARGET["batch"],)
    aimed = [(TARGET["batch"], torch.float32), *((batch, torch.bfloat16) for batch in curve)]
    return grid + [(*large, batch, k, dtype) for batch, dtype in aimed]


def compare(
    experts: int,
    features: int,
    hidden: int,
    batch: int,
    ks: list[int],
    dtype: torch.dtype,
    device: str,
    repeats: int,
) -> list[ScalePoint]:
    """One point for each k, all timed in the same rounds."""
    images = torch.randn(batch, features, dtype=dtype, device=device)
    names = [name for name in EXECUTORS if fits(name, images)]
    if experts * features * hidden * batch > BATCHED:
        names.remove("batched")
    heads: dict[tuple, nn.Module] = {("total",): _dense(experts * hidden, images)}
    chosen = {}
    # Sparse heads differ in their gate alone: memory for one stack of experts is enough.
    stacked = _to(Experts(experts, features, hidden, CLASSES, dropout=0.0), images)
    for k in ks:
        gate = _to(SparseGate(features, experts, k), images)
        head = Mixture(gate, stacked)
        plan = fixed_routing(balanced_choices(batch, k, experts).to(device), experts)
        plan = plan._replace(weights=plan.weights.to(dtype), gates=plan.gates.to(dtype))
        heads[("active", k)] = _dense(k * hidden, images)
        for name in names:
            heads[("sparse", k, name)] = Routed(head, name, plan)
        chosen[k] = fastest(images, plan, stacked.weights)
    with torch.inference_mode():
        calls = [partial(module, images) for module in heads.values()]
        times = race(calls, repeats, at_least=AT_LEAST, device=device)
    timed = dict(zip(heads, times, strict=True))
    return [
        ScalePoint(
            experts=experts,
            k=k,
            features=features,
            hidden=hidden,
            batch=batch,
            dtype=_name(dtype),
            chosen=chosen[k],
            sparse={name: timed[("sparse", k, name)] for name in names},
            total=timed[("total",)],
            active=timed[("active", k)],
        )
        for k in ks
    ]


def gigaflops(dtype: torch.dtype, device: str, side: int = 2048) -> float:
    """Of a product of two square matrices: the best of six."""
    a, b = torch.randn(2, side, side, dtype=dtype, device=device)
    best = min(milliseconds(lambda: a @ b, device=device) for _ in range(6))
    return 2 * side**3 / best / 1e6


def gigabytes(device: str, side: int = 8192) -> float:
    """Read in a second by a product of a matrix far larger than all caches and a vector."""
    matrix, vector = torch.randn(side, side, device=device), torch.randn(side, device=device)
    best = min(milliseconds(lambda: matrix @ vector, device=device) for _ in range(6))
    return matrix.numel() * matrix.element_size() / best / 1e6


def _ks(experts: int) -> list[int]:
    """Powers of two up to all experts, down to a share of 1 / `SPARSEST`."""
    powers = [2**i for i in range(experts.bit_length()) if 2**i <= experts]
    return [k for k in powers if experts / k <= SPARSEST]


def _dense(hidden: int, images: torch.Tensor) -> nn.Module:
    settings = Dense(kind="dense", hidden=hidden)
    return _to(build_head(settings, images.shape[1], CLASSES, PROTOCOLS["corrected"]), images)


def _to(module: nn.Module, images: torch.Tensor) -> nn.Module:
    return module.eval().to(images.device, images.dtype)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


if __name__ == "__main__":
    arguments = command_line(__doc__, repeats=9, devices=("cpu", "cuda"))
    free_path("scale/scale", ScaleNumbers, observe(arguments.device))  # refused before, not after
    start = time.perf_counter()
    numbers = measure(arguments.device, arguments.repeats)
    provenance = observe(arguments.device, time.perf_counter() - start)
    print(write_benchmark(__file__, "scale/scale", numbers, provenance))
