"""The perceptrons of a block: dense, or experts with a gate for each rule of routing.

Every one has `forward(features (r, d), tokens) -> (outputs (r, d), Plan | None)` and
`losses(plan, tokens)`, the weighted losses of its last forward pass. Of the features the first t
are of tokens; what follows is padding, on which no expert is run.
"""

from functools import singledispatch
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moelib.heads.executors import Weights
from moelib.heads.experts import Experts
from moelib.modalities import losses, routing
from moelib.modalities.experts import execute
from moelib.modalities.routing import TEXT, VISION, Plan
from moelib.study import modalities as config


class Tokens(NamedTuple):
    """What a layer may know of its tokens beside their features."""

    modality: Tensor  # (t,) of TEXT and VISION
    item: Tensor  # (t,) number of the token's item
    items: int
    scores: Tensor  # (t, m) accumulated by attention; the modality itself, if that is not asked for


class Dense(nn.Module):
    """One perceptron for all tokens."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, width)

    def forward(self, features: Tensor, tokens: Tokens) -> tuple[Tensor, None]:
        """Outputs (r, d) from features (r, d)."""
        return self.outer(self.inner(features).relu()), None

    def losses(self, plan: None, tokens: Tokens) -> dict[str, Tensor]:
        """Nothing to balance."""
        return {}


class Mixture(nn.Module):
    """A linear gate, experts, and ordinary top-k; subclasses change `plan`.

    The gate computes in float32 also under bf16 autocast, as ranking is sensitive to rounding.
    """

    def __init__(self, width: int, arm: config.Mixture, outputs: int | None = None):
        super().__init__()
        # Drawn first: the experts of one seed are the same under every rule.
        self.experts = Experts(arm.experts, width, arm.hidden, width, dropout=0.0)
        self.gate = nn.Linear(width, outputs or arm.experts, bias=False)
        self.arm = arm

    def forward(self, features: Tensor, tokens: Tokens) -> tuple[Tensor, Plan]:
        """Outputs (r, d) from features (r, d), and the plan that made them."""
        padding = len(features) - len(tokens.modality)
        features = features[: len(tokens.modality)]
        with torch.autocast(features.device.type, enabled=False):
            exact = features.float() if features.dtype == torch.bfloat16 else features
            plan = self.plan(exact, self.gate(exact), tokens)
        dtype = features.dtype
        if torch.is_autocast_enabled(features.device.type):
            dtype = torch.get_autocast_dtype(features.device.type)
        weights = Weights(*(part.to(dtype) for part in self.experts.weights))
        outputs = execute(features.to(dtype), plan, weights)
        return F.pad(outputs, (0, 0, 0, padding)), plan

    def plan(self, features: Tensor, logits: Tensor, tokens: Tokens) -> Plan:
        """Route tokens by their logits (t, e)."""
        return routing.top_k(logits, self.arm.k)

    def losses(self, plan: Plan, tokens: Tokens) -> dict[str, Tensor]:
        """The switch loss over all experts."""
        return {"balance": self.arm.balance * losses.balance(plan)}


class Hard(Mixture):
    """Top-k among the experts of a token's modality, balanced among these."""

    def plan(self, features: Tensor, logits: Tensor, tokens: Tokens) -> Plan:
        """Route tokens within their modality."""
        return routing.hard_split(logits, tokens.modality, self.arm.k, self.arm.vision_experts)

    def losses(self, plan: Plan, tokens: Tokens) -> dict[str, Tensor]:
        """The switch loss within each modality's experts."""
        first = self.arm.experts - self.arm.vision_experts
        groups = (torch.arange(self.arm.experts, device=plan.routing.logits.device) >= first).long()
        return {"balance": self.arm.balance * losses.balance(plan, groups)}


class Guided(Mixture):
    """Top-k, with balance within bins and guidance between modalities in training alone (SMoES)."""

    def __init__(self, width: int, arm: config.Guided):
        super().__init__(width, arm)
        experts = arm.experts
        self.register_buffer("load", torch.full((2, experts), 1 / experts))  # (m, e), moving
        self.register_buffer("bins", torch.arange(experts) // (experts // arm.bins))  # (e,)
        self.register_buffer("mean", torch.zeros(2, width))  # (m, d) of the features
        self.register_buffer("variance", torch.ones(2, width))
        self._scores: Tensor | None = None  # (t, m) of the last forward pass

    def plan(self, features: Tensor, logits: Tensor, tokens: Tokens) -> Plan:
        """Route as ordinary top-k does; in training, also follow features and loads."""
        plan = super().plan(features, logits, tokens)
        if self.training:
            with torch.no_grad():
                self._follow(features, plan, tokens)
                self._scores = self._score(features, tokens)
        return plan

    def losses(self, plan: Plan, tokens: Tokens) -> dict[str, Tensor]:
        """Balance within bins, and the guidance."""
        arm = self.arm
        parts = {"balance": arm.balance * losses.balance(plan, self.bins)}
        if arm.guidance != "none":
            gates = plan.routing.logits.softmax(dim=1)
            joint = losses.joint_bins(self._scores, gates, tokens.item, self.bins, tokens.items)
            guide = {"information": losses.information, "kl": losses.divergence}[arm.guidance]
            parts["guidance"] = arm.strength * guide(joint)
        return parts

    def _score(self, features: Tensor, tokens: Tokens) -> Tensor:
        match self.arm.score:
            case "attention":
                return tokens.scores
            case "gaussian":
                return routing.gaussian_scores(features, self.mean, self.variance.clamp_min(1e-6))
            case "one_hot":
                return routing.one_hot_scores(tokens.modality)

    def _follow(self, features: Tensor, plan: Plan, tokens: Tokens) -> None:
        memory = self.arm.memory
        fresh = routing.loads(plan.routing.indices, tokens.modality, self.arm.experts)
        self.load.mul_(memory).add_(fresh, alpha=1 - memory)
        if self.arm.adaptive:
            self.bins.copy_(routing.bins_by_specialisation(self.load, self.arm.bins))
        if self.arm.score == "gaussian":
            for m in (TEXT, VISION):
                own = features[tokens.modality == m]
                if len(own):
                    moved = routing.updated_gaussian(self.mean[m], self.variance[m], own, memory)
                    self.mean[m], self.variance[m] = moved


class Slots(Mixture):
    """As many slots as a token's importance asks for, or as a control does (AnyExperts-style).

    h' = experts(h) + alpha w h with the importance w = sigmoid(MLP(h)) in every allocation, so that
    they differ in their slots alone.
    """

    SPREAD = 0.25  # of the range of slots, by which one deviation of the entropy moves them
    RATE = 0.01  # of the controller that keeps rules without a loss at their budget

    def __init__(self, width: int, arm: config.Slots):
        super().__init__(width, arm, arm.experts + arm.virtual)
        self.importance = nn.Sequential(
            nn.Linear(width, width // 4), nn.ReLU(), nn.Linear(width // 4, 1)
        )
        share = (arm.k - arm.least) / max(arm.most - arm.least, 1)
        share = min(max(share, 0.02), 0.98)
        nn.init.constant_(self.importance[2].bias, torch.logit(torch.tensor(share)).item())
        self.register_buffer("moments", torch.tensor([0.0, 1.0]))  # (2,) of the entropy, moving
        start = {"top_p": 0.5}.get(arm.allocation, float(arm.k))
        self.register_buffer("control", torch.tensor(start))  # mass of top-p, aim of the entropy

    def forward(self, features: Tensor, tokens: Tokens) -> tuple[Tensor, Plan]:
        """Outputs (r, d) from features (r, d), and the plan that made them."""
        with torch.autocast(features.device.type, enabled=False):
            weight = self.importance(features.float()).sigmoid()  # (r, 1)
        self._weight = weight[: len(tokens.modality), 0]  # (t,)
        outputs, plan = super().forward(features, tokens)
        return outputs + self.arm.residual * weight * features, plan

    def plan(self, features: Tensor, logits: Tensor, tokens: Tokens) -> Plan:
        """Give slots to tokens, and fill them."""
        arm = self.arm
        real = logits[:, : arm.experts].detach()
        match arm.allocation:
            case "learned":
                slots = routing.learned_slots(self._weight, arm.least, arm.most)
            case "shuffled":
                other = torch.randperm(len(logits), generator=self._shuffle()).to(logits.device)
                slots = routing.learned_slots(self._weight[other], arm.least, arm.most)
            case "constant":
                slots = logits.new_full((len(logits),), float(arm.k))
            case "entropy":
                spread = self.SPREAD * (arm.most - arm.least)
                slots = routing.entropy_slots(
                    real, self._moments(real), self.control, spread, arm.least, arm.most
                )
            case "top_p":
                slots = routing.top_p_slots(real, self.control, arm.least, arm.most)
        plan = routing.slot_routing(
            logits, slots, most=arm.most, experts=arm.experts, share=arm.virtual_share
        )
        if self.training and arm.allocation in ("entropy", "top_p"):
            with torch.no_grad():
                self.control += self.RATE * (arm.k - plan.real.mean())
        return plan

    def losses(self, plan: Plan, tokens: Tokens) -> dict[str, Tensor]:
        """Balance over the real experts, and the budget of an importance that sets the slots."""
        parts = super().losses(plan, tokens)
        if self.arm.allocation in ("learned", "shuffled"):
            parts["budget"] = self.arm.budget * losses.budget(plan, self.arm.k)
        return parts

    def _shuffle(self) -> torch.Generator | None:
        # In evaluation the same order each time: a model is a fixed function.
        return None if self.training else torch.Generator().manual_seed(0)

    def _moments(self, real: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                entropy = torch.special.entr(real.softmax(dim=1)).sum(dim=1)
                fresh = torch.stack([entropy.mean(), entropy.std().clamp_min(1e-3)])
                self.moments.mul_(self.arm.memory).add_(fresh, alpha=1 - self.arm.memory)
        return self.moments


@singledispatch
def build_perceptron(arm: config.Dense | config.Mixture, width: int) -> nn.Module:
    """The perceptron of one block, freshly initialised from torch's default generator."""
    raise TypeError(f"No function is registered to build a {type(arm).__name__}.")


@build_perceptron.register
def _dense(arm: config.Dense, width: int) -> nn.Module:
    return Dense(width, arm.hidden)


@build_perceptron.register
def _top_k(arm: config.TopK, width: int) -> nn.Module:
    return Mixture(width, arm)


@build_perceptron.register
def _hard(arm: config.Hard, width: int) -> nn.Module:
    return Hard(width, arm)


@build_perceptron.register
def _guided(arm: config.Guided, width: int) -> nn.Module:
    return Guided(width, arm)


@build_perceptron.register
def _slots(arm: config.Slots, width: int) -> nn.Module:
    return Slots(width, arm)
