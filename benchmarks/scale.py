"""Sparse heads of many sizes beside dense ones of equal total and of equal active parameters.

Every head of one number of experts, width and batch is timed in alternation with all others of it,
on one thread, in evaluation. The plan gives all experts equal shares; the gate is computed too. A
size whose dense head would need more than `LARGEST` multiply-accumulates is left out.
"""

import argparse
import itertools
import time
from functools import partial

import torch
from torch import nn
from tqdm import tqdm

from moelib.benchmark import write_benchmark
from moelib.config import PROTOCOLS, Dense, Sparse
from moelib.efficiency import Routed
from moelib.executors import fastest
from moelib.heads import build_head
from moelib.kinds import ScaleNumbers, ScalePoint
from moelib.provenance import observe
from moelib.routing import balanced_choices, fixed_routing
from moelib.timing import milliseconds, race

CLASSES = 10
EXPERTS = (4, 8, 16, 32, 64, 128)
SPARSEST = 64  # largest E / k
WIDTHS = ((512, 64), (512, 512), (1024, 2048))  # d and h
BATCHES = (1, 32, 256, 2048)
LARGEST = 40e9  # multiply-accumulates of the dense head of equal total parameters
TARGET = {"experts": 64, "k": 2, "features": 1024, "hidden": 2048, "batch": 2048}
AT_LEAST = 2.0  # ms


def measure(device: str, repeats: int) -> ScaleNumbers:
    """All points of the grid in float32, and the target of the project's aims in bfloat16 too."""
    torch.manual_seed(0)
    sizes = [
        (experts, *width, batch, _ks(experts), torch.float32)
        for experts, width, batch in itertools.product(EXPERTS, WIDTHS, BATCHES)
        if batch * width[0] * width[1] * experts <= LARGEST
    ]
    target = [TARGET[name] for name in ("experts", "features", "hidden", "batch")]
    sizes += [(*target, [TARGET["k"]], dtype) for dtype in (torch.float32, torch.bfloat16)]
    points = [
        point
        for size in tqdm(sizes, desc="sizes", mininterval=5)
        for point in compare(*size, device, repeats)
    ]
    return ScaleNumbers(
        classes=CLASSES,
        gigaflops={
            _name(dtype): gigaflops(dtype, device) for dtype in {size[-1] for size in sizes}
        },
        gigabytes=gigabytes(device),
        points=tuple(points),
    )


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
    """One point for each k, all timed in alternation."""
    images = torch.randn(batch, features, dtype=dtype, device=device)
    heads = {"total": _built(Dense(kind="dense", hidden=experts * hidden), images)}
    chosen = {}
    for k in ks:
        head = _built(Sparse(kind="sparse", experts=experts, k=k, hidden=hidden), images)
        plan = fixed_routing(balanced_choices(batch, k, experts).to(device), experts)
        plan = plan._replace(weights=plan.weights.to(dtype), gates=plan.gates.to(dtype))
        heads[f"sparse {k}"] = Routed(head, "auto", plan)
        heads[f"active {k}"] = _built(Dense(kind="dense", hidden=k * hidden), images)
        chosen[k] = fastest(images, plan, head.experts.weights)
    with torch.inference_mode():
        times = race(
            [partial(head, images) for head in heads.values()],
            repeats,
            at_least=AT_LEAST,
            device=device,
        )
    of = dict(zip(heads, times, strict=True))
    return [
        ScalePoint(
            experts=experts,
            k=k,
            features=features,
            hidden=hidden,
            batch=batch,
            dtype=_name(dtype),
            executor=chosen[k],
            sparse=of[f"sparse {k}"],
            total=of["total"],
            active=of[f"active {k}"],
        )
        for k in ks
    ]


def gigaflops(dtype: torch.dtype, device: str, side: int = 2048) -> float:
    """Of a product of two square matrices: the best of five."""
    a, b = torch.randn(2, side, side, dtype=dtype, device=device)
    fastest_ms = min(milliseconds(lambda: a @ b, device=device) for _ in range(6))
    return 2 * side**3 / fastest_ms / 1e6


def gigabytes(device: str, side: int = 8192) -> float:
    """Read in a second by a product of a matrix far larger than all caches and a vector."""
    matrix, vector = torch.randn(side, side, device=device), torch.randn(side, device=device)
    fastest_ms = min(milliseconds(lambda: matrix @ vector, device=device) for _ in range(6))
    return matrix.numel() * matrix.element_size() / fastest_ms / 1e6


def _ks(experts: int) -> list[int]:
    """Powers of two up to all experts, down to a share of 1 / `SPARSEST`."""
    powers = [2**i for i in range(experts.bit_length()) if 2**i <= experts]
    return [k for k in powers if experts / k <= SPARSEST]


def _built(head: Dense | Sparse, images: torch.Tensor) -> nn.Module:
    module = build_head(head, images.shape[1], CLASSES, PROTOCOLS["corrected"])
    return module.eval().to(images.device, images.dtype)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    numbers = measure(arguments.device, arguments.repeats)
    provenance = observe(arguments.device, time.perf_counter() - start)
    print(write_benchmark(__file__, "scale/scale", numbers, provenance))
