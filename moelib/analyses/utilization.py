"""How a trained run uses its experts: balance, selection, what they know of the classes."""

import math

import torch
from torch import Tensor
from tqdm import trange

from moelib.analyses.analysis import analyse
from moelib.analyses.trained import Trained
from moelib.heads import usage
from moelib.records.kinds import Information, Usage, UtilizationNumbers
from moelib.records.record import Record
from moelib.study.analyses import Utilization
from moelib.study.base import ConfigError
from moelib.study.heads import has_experts
from moelib.study.run import Run
from moelib.training import device
from moelib.training.data import Dataset, Split
from moelib.training.evaluate import predict
from moelib.training.model import Classifier
from moelib.training.seeding import seeded

ROUNDING = 1e-12  # nats; constant gates give one table whatever the labels: sums differ by less


def analyse_utilization(
    run: Run, dataset: Dataset | None = None, *, again: bool = False
) -> Record[UtilizationNumbers]:
    """Analyse the weights of a finished run that its protocol selects; `analyse` says how.

    Raises:
        ConfigError: the head has no experts, or as `analyse` does.
    """
    if not has_experts(run.study.heads[run.head]):
        raise ConfigError(
            f"The head '{run.head}' has no experts: there is no utilization to analyse."
        )
    return analyse(run, UtilizationNumbers, measure, dataset=dataset, again=again)


def measure(trained: Trained, sizes: Utilization) -> UtilizationNumbers:
    """How the experts are used on all training and all test images, in evaluation mode."""
    run, training, dataset = trained.run, trained.training, trained.dataset
    on = torch.device(training.device)
    with seeded(run.stream(f"{run.head}/utilization"), on), device.autocast(training):
        usages = {
            name: _usage_of(
                trained.model, getattr(dataset, name), dataset, sizes, training.channels_last
            )
            for name in ("train", "test")
        }
    return UtilizationNumbers(
        epoch=trained.record.numbers.tested_epoch,
        **usages,
        dead_per_epoch=tuple(
            len(dead_experts(torch.tensor(epoch.train.gate_mass), sizes.dead_below))
            for epoch in trained.record.numbers.epochs
        ),
    )


def dead_experts(gate_mass: Tensor, below: float) -> list[int]:
    """Experts whose gate mass (e,) is under `below` times their uniform share of all mass."""
    share = gate_mass / gate_mass.sum()
    return (share < below / len(share)).nonzero().flatten().tolist()


def mutual_information(gates: Tensor, labels: Tensor, classes: int) -> Tensor:
    """I(class; expert) = sum_ce P_ce ln(P_ce / (P_c P_e)) in nats.

    P_ce is the mean over images of [class = c] times the gates (n, e), each image's gates scaled to
    sum 1: the information that an expert drawn by the gate carries about the class.
    """
    member = torch.nn.functional.one_hot(labels, classes).to(gates.dtype)  # (n, c)
    joint = member.T @ (gates / gates.sum(dim=1, keepdim=True)) / len(labels)  # (c, e)
    independent = joint.sum(dim=1, keepdim=True) * joint.sum(dim=0, keepdim=True)
    return torch.special.xlogy(joint, joint).sum() - torch.special.xlogy(joint, independent).sum()


def information(gates: Tensor, labels: Tensor, classes: int, permutations: int) -> Information:
    """Mutual information of class and expert, and its null distribution under shuffled labels.

    Shuffling keeps the class sizes and the gates, and breaks every tie between them. The estimate
    is biased upwards by about (c - 1)(e - 1) / 2n, so it is compared with the null, not with 0.
    """
    value = mutual_information(gates, labels, classes).item()
    generator = torch.Generator().manual_seed(0)  # the same null whatever ran before
    null = torch.empty(permutations, dtype=torch.float64)
    for i in trange(permutations, desc="permutations", mininterval=1):
        order = torch.randperm(len(labels), generator=generator).to(labels.device)
        null[i] = mutual_information(gates, labels[order], classes)
    shares = labels.bincount(minlength=classes).double() / len(labels)
    return Information(
        value=value,
        bound=torch.special.entr(shares).sum().item(),
        null_mean=null.mean().item(),
        null_deviation=null.std(correction=0).item(),
        null_95=null.quantile(0.95).item(),
        p_value=(1 + (null >= value - ROUNDING).sum().item()) / (1 + permutations),
        permutations=permutations,
    )


def _usage_of(
    model: Classifier, split: Split, dataset: Dataset, sizes: Utilization, channels_last: bool
) -> Usage:
    _, routing = predict(model, split, dataset, channels_last=channels_last)
    gates, classes = routing.gates.double(), len(dataset.classes)  # (n, e)
    mass, load = usage.gate_mass(gates), usage.load(routing.indices, gates.shape[1]).double()
    matrix = usage.class_expert(gates, split.labels, classes)  # (c, e)
    return Usage(
        images=len(split),
        gate_mass=tuple(mass.tolist()),
        load=tuple(load.tolist()),
        gate_mass_variation=usage.coefficient_of_variation(mass).item(),
        load_variation=usage.coefficient_of_variation(load).item(),
        entropy=usage.entropy(gates).item(),
        entropy_bound=math.log(routing.indices.shape[1]),
        dead=tuple(dead_experts(mass, sizes.dead_below)),
        class_expert=tuple(None if row.isnan().any() else tuple(row.tolist()) for row in matrix),
        information=information(gates, split.labels, classes, sizes.permutations),
    )
