"""Gates: modules that hold parameters and turn features (n, d) into a `Routing`."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moelib.heads.routing import (
    Routing,
    soft_routing,
    standardised,
    switch_routing,
    top_k_routing,
    uniform_routing,
)


class SoftGate(nn.Module):
    """softmax((W x + b) / T) over all experts, with dropout on x and, as run, on the logits."""

    def __init__(
        self,
        features: int,
        experts: int,
        *,
        temperature: float = 1.0,
        feature_dropout: float = 0.0,
        logit_dropout: float = 0.0,
    ):
        super().__init__()
        self.score = nn.Linear(features, experts)
        every = torch.arange(experts)  # (e,)
        self.register_buffer("every", every, persistent=False)
        self.feature_dropout = feature_dropout
        self.logit_dropout = logit_dropout
        self.temperature = temperature

    def forward(self, features: Tensor) -> Routing:
        """Route features (n, d)."""
        logits = self.score(_dropped(features, self.feature_dropout, self.training))  # (n, e)
        ranked = _dropped(logits, self.logit_dropout, self.training)
        return soft_routing(logits, self.temperature, ranked=ranked, every=self.every)


class SparseGate(nn.Module):
    """Noisy top-k: z = standardised(W_g x + b_g) + N(0, 1) (softplus(W_n x + b_n) + floor).

    After Shazeer 2017, eq. 3-5, with the standardised logits and the noise floor of Rokah 2026.
    Without noise in evaluation, unless it is kept on as the authors did; W_n is else unused there.
    Dropout on z makes ties; with `keep_ties` all of them share the gate's mass. Weighed by its
    probability, the one expert of k = 1 teaches the gate, as in `SwitchGate`.
    """

    def __init__(
        self,
        features: int,
        experts: int,
        k: int,
        *,
        temperature: float = 1.0,
        feature_dropout: float = 0.0,
        logit_dropout: float = 0.0,
        standardise: bool = True,
        noise_floor: float = 0.3,
        noise_at_evaluation: bool = False,
        keep_ties: bool = False,
        weigh_by_probability: bool = False,
        biased: bool = False,
    ):
        super().__init__()
        self.score = nn.Linear(features, experts)
        self.noise = nn.Linear(features, experts)
        self.feature_dropout = feature_dropout
        self.logit_dropout = logit_dropout
        self.register_buffer("selection_bias", torch.zeros(experts) if biased else None)  # (e,)
        self.k = k
        self.temperature = temperature
        self.standardise = standardise
        self.noise_floor = noise_floor
        self.noise_at_evaluation = noise_at_evaluation
        self.keep_ties = keep_ties
        self.weigh_by_probability = weigh_by_probability

    def forward(self, features: Tensor) -> Routing:
        """Route features (n, d)."""
        features = _dropped(features, self.feature_dropout, self.training)
        raw = self.score(features)  # (n, e)
        logits = standardised(raw) if self.standardise else raw
        ranked, noise_std = logits, None
        if self.training or self.noise_at_evaluation:
            noise_std = F.softplus(self.noise(features)) + self.noise_floor  # (n, e)
            ranked = logits + noise_std * torch.randn_like(logits)
        selection = {
            "ranked": _dropped(ranked, self.logit_dropout, self.training),
            "noise_std": noise_std,
            "bias": self.selection_bias,
        }
        if self.weigh_by_probability:
            routing = switch_routing(logits, self.temperature, **selection)
        else:
            routing = top_k_routing(
                logits, self.k, self.temperature, keep_ties=self.keep_ties, **selection
            )
        if self.standardise:
            scaled = raw if self.temperature == 1 else raw / self.temperature
            return routing._replace(raw=scaled)
        return routing


@contextmanager
def without_evaluation_noise(module: nn.Module) -> Iterator[None]:
    """Every gate in a module without noise in evaluation; afterwards each as it was."""
    noisy = [m for m in module.modules() if getattr(m, "noise_at_evaluation", False)]
    for gate in noisy:
        gate.noise_at_evaluation = False
    try:
        yield
    finally:
        for gate in noisy:
            gate.noise_at_evaluation = True


class SwitchGate(nn.Module):
    """A plain linear gate that picks one expert (Fedus 2021): no noise, no standardised logits.

    It weighs its expert by the probability, or as the authors did by the softmax over the one kept
    logit, which is 1 and teaches the gate nothing.
    """

    def __init__(
        self,
        features: int,
        experts: int,
        *,
        temperature: float = 1.0,
        feature_dropout: float = 0.0,
        weigh_by_probability: bool = True,
        biased: bool = False,
    ):
        super().__init__()
        self.score = nn.Linear(features, experts)
        self.feature_dropout = feature_dropout
        self.register_buffer("selection_bias", torch.zeros(experts) if biased else None)  # (e,)
        self.temperature = temperature
        self.weigh_by_probability = weigh_by_probability

    def forward(self, features: Tensor) -> Routing:
        """Route features (n, d)."""
        logits = self.score(_dropped(features, self.feature_dropout, self.training))  # (n, e)
        if self.weigh_by_probability:
            return switch_routing(logits, self.temperature, bias=self.selection_bias)
        return top_k_routing(logits, 1, self.temperature, bias=self.selection_bias)


class UniformGate(nn.Module):
    """Control: all experts alike."""

    def __init__(self, experts: int):
        super().__init__()
        self.experts = experts

    def forward(self, features: Tensor) -> Routing:
        """Route features (n, d)."""
        return uniform_routing(features, self.experts)


class FrozenGate(nn.Module):
    """Control: top-k over a random linear map, held in buffers so that nothing trains it."""

    def __init__(self, features: int, experts: int, k: int, *, temperature: float = 1.0):
        super().__init__()
        score = nn.Linear(features, experts)
        self.register_buffer("weight", score.weight.detach())  # (e, d)
        self.register_buffer("bias", score.bias.detach())  # (e,)
        self.k = k
        self.temperature = temperature

    def forward(self, features: Tensor) -> Routing:
        """Route features (n, d)."""
        logits = F.linear(features, self.weight, self.bias)  # (n, e)
        return top_k_routing(logits, self.k, self.temperature)


def _dropped(values: Tensor, share: float, training: bool) -> Tensor:
    return F.dropout(values, share) if training else values  # spares small batches a call
