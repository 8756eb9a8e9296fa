"""Who computes what: experts by modality and by type of token, in evaluation mode.

Axes: `t` token, `e` expert, `k` choice, `m` modality.
"""

import torch
from torch import Tensor

from moelib.modalities import batches, splits
from moelib.modalities.analysis import analyse
from moelib.modalities.language import TYPES, word_types
from moelib.modalities.model import Batch, VisionLanguage
from moelib.modalities.routing import TEXT, VISION, Plan
from moelib.modalities.scenes import BACKGROUND, CELL
from moelib.records.modalities import Layer, ModalityUtilizationNumbers
from moelib.records.record import Record
from moelib.study.base import ConfigError
from moelib.study.modalities import Dense, ModalityRun

TOKENS = (*TYPES, "object", "empty")  # words by what they do, patches by what they show
DEAD = 0.1  # of an even share of all choices, below which an expert is dead


def analyse_utilization(
    run: ModalityRun, *, again: bool = False
) -> Record[ModalityUtilizationNumbers]:
    """Analyse the routing of a finished run on the split iid; `analyse` says how.

    Raises:
        ConfigError: the arm has no experts, or as `analyse` does.
    """
    if isinstance(run.arm, Dense):
        raise ConfigError(f"The arm '{run.head}' has no experts: it has no utilization.")
    return analyse(run, ModalityUtilizationNumbers, measure, again=again)


def measure(run: ModalityRun, model: VisionLanguage) -> ModalityUtilizationNumbers:
    """Loads, numbers of experts and entropies of each layer."""
    items = splits.held_out(run.study, "iid")
    types, plans = [], []
    on = torch.device(run.study.training.device)
    for rows, routed, _ in batches.outputs(model, items, run.study, run.study.training):
        inputs, _ = batches.batch(items.take(rows), on)
        types.append(token_types(inputs))
        plans.append((routed.plans, routed.tokens.modality))
    every = torch.cat(types)
    modality = torch.cat([m for _, m in plans])
    layers = [
        layer([plans_[number] for plans_, _ in plans], every, modality)
        for number in range(len(model.blocks))
    ]
    counts = every.bincount(minlength=len(TOKENS)).tolist()
    return ModalityUtilizationNumbers(
        study=run.study,
        items=len(items),
        tokens=dict(zip(TOKENS, counts, strict=True)),
        layers=tuple(layers),
    )


def token_types(batch: Batch) -> Tensor:
    """Type (t,) of each token, as its number in TOKENS, in the order of the model's tokens."""
    kinds = torch.from_numpy(word_types()).to(batch.words.device).long()
    words = kinds[batch.words]  # (n, w)
    n, i, height, width, _ = batch.pictures.shape
    inked = (batch.pictures != BACKGROUND).any(dim=-1)
    tiles = inked.view(n, i, height // CELL, CELL, width // CELL, CELL).any(dim=5).any(dim=3)
    patches = torch.where(tiles, TOKENS.index("object"), TOKENS.index("empty")).view(n, -1)
    present = torch.cat([batch.words > 0, torch.ones_like(patches, dtype=torch.bool)], dim=1)
    return torch.cat([words, patches], dim=1)[present]


def layer(plans: list[Plan], types: Tensor, modality: Tensor) -> Layer:
    """What one layer did with all tokens, from its plans of several batches."""
    used = torch.cat([_used(plan) for plan in plans])  # (t, k)
    indices = torch.cat([plan.routing.indices for plan in plans])
    logits = torch.cat([plan.routing.logits for plan in plans])
    experts = logits.shape[1]
    counts = torch.stack(
        [
            indices[modality == m][used[modality == m]].bincount(minlength=experts)
            for m in (TEXT, VISION)
        ]
    ).double()  # (m, e)
    load = counts / counts.sum(dim=1, keepdim=True).clamp_min(1)
    share = counts.sum(dim=0) / counts.sum()
    entropy = torch.special.entr(logits.double().softmax(dim=1)).sum(dim=1)
    real = used.sum(dim=1).double()
    of_type = {name: types == number for number, name in enumerate(TOKENS)}
    return Layer(
        load=tuple(tuple(row) for row in load.tolist()),
        real={name: real[rows].mean().item() for name, rows in of_type.items() if rows.any()},
        entropy={name: entropy[rows].mean().item() for name, rows in of_type.items() if rows.any()},
        specialisation=specialisation(load),
        information=information(load),
        dead=tuple((share < DEAD / experts).nonzero().flatten().tolist()),
    )


def specialisation(load: Tensor) -> float:
    """How far experts belong to one modality, from 0 to 1, from loads (m, e).

    sum_e w_e |2 f_e - 1| with f_e = load_text / (load_text + load_vision), w_e the mean load: 1 if
    no expert sees both. The name is that of SMoES's index; the formula is ours.

    >>> specialisation(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    1.0
    """
    total = load.sum(dim=0)
    apart = (load[TEXT] - load[VISION]).abs()
    return (apart * (total > 0)).sum().div(2).item()


def information(load: Tensor) -> float:
    """Mutual information in nats of modality and expert, each modality weighing half.

    >>> print(round(information(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), 4))  # ln 2
    0.6931
    """
    entropies = torch.special.entr(load).sum(dim=1)
    return (torch.special.entr(load.mean(dim=0)).sum() - entropies.mean()).item()


def _used(plan: Plan) -> Tensor:
    if plan.used is not None:
        return plan.used
    return torch.ones_like(plan.routing.indices, dtype=torch.bool)
