"""Peak memory of curvature: 10,000 images beside 1,000, each in a fresh process.

Two products with the Hessian of the small ResNet of `quick`, untrained, on made-up images of the
size of CIFAR-10's, stored as bytes and normalised by micro-batches. Without graphs that are kept
between products, and with those of as many images as the analyses keep. The whole process counts,
with the libraries it loads.
"""

import subprocess
import sys

import torch

from moelib.analyses import footprint
from moelib.analyses.benchmark import run_benchmark
from moelib.analyses.sharpness import KEPT_GRAPHS
from moelib.curvature.objective import Objective
from moelib.heads.head import build_head
from moelib.records.benchmarks import BenchmarkNumbers, Case
from moelib.study.heads import Dense
from moelib.study.protocol import PROTOCOLS
from moelib.training.backbones import SmallResNet
from moelib.training.model import Classifier

SIZES = (1_000, 10_000)
BATCH = 250


def measure(repeats: int) -> BenchmarkNumbers:
    """Peak resident memory of each size, in turn."""
    return BenchmarkNumbers(
        name="memory",
        question="Does the memory of products with the Hessian grow with the number of images?",
        baseline="1,000 images",
        candidate="10,000 images",
        unit="MiB",
        cases=tuple(compare(keep, repeats) for keep in (0, KEPT_GRAPHS)),
    )


def compare(keep: int, repeats: int) -> Case:
    """Both numbers of images, with the graphs of `keep` of them kept at most."""
    few, many = zip(
        *([peak(images, keep) for images in SIZES] for _ in range(repeats)), strict=True
    )
    setting = {"batch": BATCH, "graphs_kept": keep}
    return Case(setting=setting, baseline=few, candidate=many, target_ratio=1 / 1.2)


def peak(images: int, keep: int) -> float:
    """MiB that a fresh process needs at most."""
    done = subprocess.run(
        [sys.executable, __file__, str(images), str(keep)],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def products(images: int, keep: int) -> None:
    """Two products, the second of which finds the kept graphs, and this process's peak memory."""
    torch.manual_seed(0)
    backbone = SmallResNet(3, (16, 32))
    head = build_head(Dense(kind="dense", hidden=64), 32, 10, PROTOCOLS["corrected"])
    stored = torch.randint(256, (images, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(10, (images,))
    objective = Objective(
        Classifier(backbone, head),
        stored,
        labels,
        prepare=lambda part: part.float() / 64 - 2,
        batch=BATCH,
        keep=keep,
    )
    for _ in range(2):
        objective.hessian(torch.randn(1, objective.size))
    print(footprint.peak_memory("cpu") / 2**20)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1].isdigit():
        torch.set_num_threads(1)
        products(*map(int, sys.argv[1:]))
    else:
        run_benchmark(__file__, measure, repeats=3)
