"""One training step of the paper's ResNet-18 on a CPU: numerical format against plain float32.

The baseline is float32, contiguous, eager, as torch does it when nothing is asked for. The
candidates are channels_last in float32, and channels_last with bf16 autocast, which pays only on
CPUs with bf16 matrix instructions (AMX, AVX512-BF16, Arm BF16): at least 2 times was aimed at.
"""

import torch
import torch.nn.functional as F
from torch import nn

from moelib.analyses.benchmark import run_benchmark
from moelib.analyses.timing import interleave, milliseconds
from moelib.records.benchmarks import BenchmarkNumbers, Case
from moelib.records.provenance import processor
from moelib.study.backbones import ResNet18
from moelib.study.training import Training
from moelib.training.backbones import build_backbone
from moelib.training.device import BF16_EXTENSIONS, autocast

BATCH = 128


def training_step(precision: str, channels_last: bool) -> float:
    """Milliseconds of one step: forward, backward, SGD, on random images."""
    torch.manual_seed(0)
    memory = torch.channels_last if channels_last else torch.contiguous_format
    backbone = build_backbone(ResNet18(kind="resnet18"), channels=3)
    model = nn.Sequential(backbone, nn.Linear(backbone.features, 10)).to(memory_format=memory)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    images = torch.randn(BATCH, 3, 32, 32).to(memory_format=memory)
    labels = torch.randint(10, (BATCH,))
    training = Training(epochs=50, precision=precision)

    def step() -> None:
        with autocast(training):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    step()  # the first step allocates memory and chooses kernels
    return milliseconds(step)


def measure(repeats: int) -> BenchmarkNumbers:
    """Both candidates against the baseline."""
    bf16 = bool(BF16_EXTENSIONS & set(processor()[1]))
    cases = []
    for precision in ("fp32", "bf16"):
        baseline, candidate = interleave(
            lambda: training_step("fp32", channels_last=False),
            lambda precision=precision: training_step(precision, channels_last=True),
            repeats=repeats,
        )
        cases.append(
            Case(
                setting={"batch": BATCH, "precision": precision, "memory": "channels_last"},
                baseline=baseline,
                candidate=candidate,
                target_ratio=2.0 if bf16 and precision == "bf16" else None,
            )
        )
    return BenchmarkNumbers(
        name="step",
        question="How much faster is a ResNet-18 training step in another numerical format?",
        baseline="float32, contiguous, eager",
        candidate="channels_last, in the precision given, eager",
        unit="ms per step",
        cases=tuple(cases),
    )


if __name__ == "__main__":
    run_benchmark(__file__, measure, repeats=5)
