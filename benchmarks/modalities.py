"""Blocks and data of the vision-language transformer against what they should keep up with.

One thread, the fastest precision of the CPU, both ways in alternation, after their outputs were
seen to agree where they should. A sparse block (attention, 8 experts, k = 2) is compared with the
same block over a list of expert modules and boolean masks, which it should never be slower than,
and with a dense block of equal active parameters, of whose time it should take 1.5 times at most
from 4,096 tokens on. Drawing and rendering items should take 5 % of a training step at most.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moelib.analyses.benchmark import run_benchmark
from moelib.analyses.timing import interleave, milliseconds
from moelib.modalities import batches, blocks, model, questions, routing, splits
from moelib.modalities.blocks import Tokens
from moelib.records.benchmarks import BenchmarkNumbers, Case
from moelib.study import modalities as config
from moelib.study.modalities import load_modality_study
from moelib.training import device

STEPS = 32  # tokens of a sequence
TOKENS = (256, 1024, 4096, 16384)
LARGE = 4096  # from which a dense block is to be kept up with
OVERHEAD, GENERATION = 1.5, 0.05  # times a dense block, of a training step: at most
CPU = torch.device("cpu")


class Looped(nn.Module):
    """The experts of a `Mixture` one by one, each on the tokens that a mask finds."""

    def __init__(self, mixture: blocks.Mixture):
        super().__init__()
        self.mixture = mixture
        width = mixture.experts.w_in.shape[0]
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, b.shape[0]), nn.ReLU(), nn.Linear(b.shape[0], width))
            for b in mixture.experts.b_in
        )
        with torch.no_grad():
            for e, expert in enumerate(self.experts):
                expert[0].weight.copy_(mixture.experts.w_in[:, e].T)
                expert[0].bias.copy_(mixture.experts.b_in[e])
                expert[2].weight.copy_(mixture.experts.w_out[e].T)
                expert[2].bias.copy_(mixture.experts.b_out[e])

    def forward(self, features: Tensor, tokens: Tokens) -> tuple[Tensor, None]:
        """Outputs (t, d) from features (t, d)."""
        with torch.autocast("cpu", enabled=False):
            gates = routing.top_k(self.mixture.gate(features), self.mixture.arm.k).routing.gates
        outputs = torch.zeros_like(features)
        for e, expert in enumerate(self.experts):
            rows = (gates[:, e] > 0).nonzero().flatten()
            weighted = expert(features[rows]) * gates[rows, e, None]
            outputs = outputs.index_add(0, rows, weighted.to(outputs.dtype))
        return outputs, None


def measure(repeats: int) -> BenchmarkNumbers:
    """Time per batch of blocks, in inference and training, and of items beside a training step."""
    study = load_modality_study("main")
    study = study.model_copy(update={"training": device.resolve(study.training)})
    cases = [
        case
        for tokens in TOKENS
        for training in (False, True)
        for case in of_blocks(study, tokens, training, repeats)
    ]
    return BenchmarkNumbers(
        name="modalities",
        question="Do the sparse block and the items keep up?",
        baseline="loop: expert modules over boolean masks; dense: a block of equal active "
        "parameters; step: a training step of the arm `dense` on as many items",
        candidate="the sparse block; for the step, drawing and rendering the items",
        unit="ms per batch",
        cases=(*cases, of_items(study, repeats)),
    )


def of_blocks(study, tokens: int, training: bool, repeats: int) -> list[Case]:
    """The sparse block beside both others on the same sequences."""
    torch.manual_seed(0)
    sparse = model.Block(study.transformer, study.arms["top-2"]).train(training)
    looped = model.Block(study.transformer, study.arms["top-2"]).train(training)
    looped.load_state_dict(sparse.state_dict())
    looped.perceptron = Looped(looped.perceptron)
    arm = study.arms["top-2"]
    active = config.Dense(kind="dense", hidden=arm.k * arm.hidden)
    dense = model.Block(study.transformer, active).train(training)
    count = tokens // STEPS
    rows = torch.arange(tokens)
    layout = model._Layout(rows, torch.ones(count, 1, 1, STEPS, dtype=torch.bool), (count, STEPS))
    modality = (rows % STEPS < STEPS // 2).long()
    about = Tokens(modality, rows // STEPS, count, routing.one_hot_scores(modality))
    stream = torch.randn(tokens, study.transformer.width)
    with torch.no_grad():
        torch.testing.assert_close(
            sparse(stream, layout, about)[0], looped(stream, layout, about)[0]
        )

    def run(block: nn.Module) -> Callable[[], None]:
        def forward() -> None:
            with torch.set_grad_enabled(training), device.autocast(study.training):
                outputs = block(stream, layout, about)[0]
            if training:
                block.zero_grad()
                outputs.square().mean().backward()

        return forward

    calls = max(1, 4096 // tokens)
    passes = [run(block) for block in (looped, dense, sparse)]
    for work in passes:
        work()
    times = interleave(
        *((lambda work=work: milliseconds(work, calls)) for work in passes),
        repeats=repeats,
    )
    setting = {
        "tokens": tokens,
        "mode": "training" if training else "inference",
        "precision": study.training.precision,
    }
    targets = {"loop": 1.0, "dense": 1 / OVERHEAD if tokens >= LARGE else None}
    return [
        Case(
            setting={"against": against, **setting},
            baseline=baseline,
            candidate=times[2],
            target_ratio=targets[against],
        )
        for against, baseline in zip(targets, times[:2], strict=True)
    ]


def of_items(study, repeats: int) -> Case:
    """Items beside the cheapest training step on them."""
    size = study.training.batch_size
    net = model.build(study, study.arms["dense"])
    optimizer = torch.optim.AdamW(net.parameters())
    whole = study.sizes.train
    items = splits.training(study, 0, 1)
    inputs, answers = batches.batch(items.take(np.arange(size)), CPU)

    def step() -> None:
        with device.autocast(study.training):
            routed = net.routed(inputs)
        loss = F.cross_entropy(routed.logits, answers) + sum(routed.losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def generated() -> float:
        drawing = milliseconds(
            lambda: questions.draw(
                np.random.default_rng(0), whole, splits.kind("train", study), study
            )
        )
        rendering = milliseconds(lambda: batches.batch(items.take(np.arange(size)), CPU), 4)
        return drawing * size / whole + rendering

    step()
    baseline, candidate = interleave(lambda: milliseconds(step, 4), generated, repeats=repeats)
    return Case(
        setting={"against": "step", "items": size, "precision": study.training.precision},
        baseline=baseline,
        candidate=candidate,
        target_ratio=1 / GENERATION,
    )


if __name__ == "__main__":
    run_benchmark(__file__, measure, repeats=11)
