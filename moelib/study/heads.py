"""The classifier heads: what routes features to experts, and the controls."""

from typing import Annotated, Literal, get_args

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from moelib.study.base import Frozen, Probability, rule


class Balance(Frozen):
    """Coefficients of the balance losses that are added to the cross-entropy; 0 leaves one out."""

    kl: NonNegativeFloat = 0.0  # mean gate against uniform; its direction is protocol.kl
    importance: NonNegativeFloat = 0.0  # CV^2 of summed gates (Shazeer 2017, eq. 7)
    load: NonNegativeFloat = (
        0.0  # CV^2 of load (Shazeer 2017, eq. 11); its estimator is protocol.load
    )
    switch: NonNegativeFloat = 0.0  # E sum f P (Fedus 2021, eq. 4)
    z: NonNegativeFloat = 0.0  # mean logsumexp^2 (Zoph 2022, eq. 5)
    bias_rate: NonNegativeFloat = 0.0  # step of the selection bias (Wang 2024); not a loss


class Plain(Frozen):
    """A head without experts."""

    @property
    def chosen(self) -> int:
        """How many experts an image gets: none."""
        return 0


class Linear(Plain):
    """Control: one linear layer."""

    kind: Literal["linear"]


class Dense(Plain):
    """Multilayer perceptron with one hidden layer."""

    kind: Literal["dense"]
    hidden: PositiveInt = 512
    dropout: Probability = 0.1


class Mixture(Frozen):
    """What all heads with experts have."""

    experts: PositiveInt = 8
    hidden: PositiveInt = 64  # units of each expert
    dropout: Probability = 0.1  # on the experts' hidden units
    gate_dropout: Probability = 0.1  # on the gate's input (and logits: protocol.logit_dropout)
    temperature: PositiveFloat = 1.0

    @property
    def chosen(self) -> int:
        """How many experts an image gets: all, unless the head selects."""
        return self.experts


class TopK(Mixture):
    """What all heads have that select k experts."""

    k: PositiveInt = 2  # experts chosen for each image

    @rule
    def _k_experts(self) -> None:
        if self.k > self.experts:
            raise ValueError(f"k = {self.k} must not exceed experts = {self.experts}")

    @property
    def chosen(self) -> int:
        """How many experts an image gets: k, where no tie brings more."""
        return self.k


class Soft(Mixture):
    """Dense mixture: every expert on every image, weighted by a softmax gate (Jacobs 1991)."""

    kind: Literal["soft"]
    balance: Balance = Balance()

    @rule
    def _no_selection(self) -> None:
        _refuse_balance(
            self.balance, "soft", ("load", "switch", "bias_rate"), "it selects no experts"
        )


class Sparse(TopK):
    """Noisy top-k (Shazeer 2017), with the paper's standardised logits and noise floor."""

    kind: Literal["sparse"]
    standardise: bool = True  # logits of each image to mean 0, deviation 1, before the noise
    noise_floor: NonNegativeFloat = 0.3  # least standard deviation of the gate noise
    balance: Balance = Balance()


class Switch(Mixture):
    """k = 1, weighted by the gate's probability so that the gate learns (Fedus 2021)."""

    kind: Literal["switch"]
    balance: Balance = Balance()

    @property
    def chosen(self) -> int:
        """How many experts an image gets: one."""
        return 1

    @rule
    def _no_noise(self) -> None:
        _refuse_balance(
            self.balance, "switch", ("load",), "its selection has no noise to smooth it"
        )


class Uniform(Mixture):
    """Control: every expert on every image, all weights 1/E."""

    kind: Literal["uniform"]


class FrozenGate(TopK):
    """Control: top-k over a random linear gate that is never trained."""

    kind: Literal["frozen"]


def has_experts(head: "Head") -> bool:
    """Whether a head routes images to experts, so that its utilization can be analysed."""
    return head.chosen > 0


def chooses(head: "Head") -> bool:
    """Whether a gate tells images apart: a uniform one has experts and gives all the same."""
    return has_experts(head) and not isinstance(head, Uniform)


def family(name: str) -> str:
    """What comes before the first hyphen of a head's name in a study: `sparse` of `sparse-e16`."""
    return name.split("-")[0]


def _refuse_balance(balance: Balance, head: str, names: tuple[str, ...], why: str) -> None:
    for name in names:
        if getattr(balance, name) > 0:
            raise ValueError(f"balance.{name} does not apply to a {head} head: {why}")


Head = Annotated[
    Linear | Dense | Soft | Sparse | Switch | Uniform | FrozenGate, Field(discriminator="kind")
]
CONTROLS = ("linear", "uniform", "frozen")  # kinds that no answer compares with dense
KINDS = tuple(
    literal
    for head in get_args(get_args(Head)[0])
    for literal in get_args(head.model_fields["kind"].annotation)
)
