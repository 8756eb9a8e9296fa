"""A study: everything that determines its numbers, except the machine."""

import re
from typing import Annotated

from pydantic import Field

from moelib.study.analyses import Analyses
from moelib.study.backbones import Backbone
from moelib.study.base import Frozen, Seed, rule
from moelib.study.data import Data
from moelib.study.heads import KINDS, Head, Sparse, chooses, family, has_experts
from moelib.study.protocol import Protocol
from moelib.study.training import Training

# Folders of results/ that hold other records: those of scripts, and of studies of modalities.
TAKEN = ("benchmarks", "cost", "crosscheck", "modalities", "scale")


class Study(Frozen):
    """One study: everything that determines its numbers, except the machine."""

    name: str
    description: str
    data: Data
    backbone: Backbone
    heads: Annotated[dict[str, Head], Field(min_length=1)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    protocol: Protocol
    training: Training
    analyses: Analyses = Analyses()

    @rule
    def _named_folders(self) -> None:
        for name in (self.name, *self.heads):
            if not re.fullmatch(r"\w[\w.-]*", name):
                raise ValueError(
                    f"'{name}' cannot name a study or a head, since both name folders: "
                    "use letters, digits, '_', '-' and '.'"
                )
        if self.name in TAKEN:
            raise ValueError(
                f"'{self.name}' cannot name a study: results/{self.name} holds other records; "
                f"{', '.join(TAKEN)} are taken"
            )

    @rule
    def _families(self) -> None:
        # Pages colour and compare heads by family, which they tell from the name alone.
        for name, head in self.heads.items():
            if family(name) in KINDS and family(name) != head.kind:
                raise ValueError(
                    f"heads.{name}.kind = '{head.kind}': the name belongs to heads of kind "
                    f"'{family(name)}'; give this one another name, such as '{head.kind}-{name}'"
                )

    @rule
    def _distinct_seeds(self) -> None:
        twice = sorted({seed for seed in self.seeds if self.seeds.count(seed) > 1})
        if twice:
            raise ValueError(f"seeds: {', '.join(map(str, twice))} is given more than once")

    @rule
    def _exact_loads(self) -> None:
        for name, head in self.heads.items():
            if isinstance(head, Sparse) and head.balance.load > 0:
                _refuse_inexact_load(name, head, self.protocol)

    def only(self, head: str) -> "Study":
        """The study with one head alone: what determines its runs, and no more."""
        return self.model_copy(update={"heads": {head: self.heads[head]}})

    def analyses_of(self, head: str, seed: int) -> list[str]:
        """Names of the analyses that are to be made of a run.

        Heads without experts have no utilization, and those that choose none no gallery. The cost
        of inference depends on the seed by the routing alone, and measuring it takes the whole
        machine; a gallery holds images: there the first seed stands for all.
        """
        names = [name for name, sizes in self.analyses if sizes is not None]
        left_out = set() if has_experts(self.heads[head]) else {"utilization"}
        left_out |= set() if chooses(self.heads[head]) else {"gallery"}
        left_out |= set() if seed == self.seeds[0] else {"efficiency", "gallery"}
        return [name for name in names if name not in left_out]


def _refuse_inexact_load(name: str, head: Sparse, protocol: Protocol) -> None:
    # Shazeer's estimator knows of nothing but noise between clean and ranked logits.
    if protocol.load != "smooth":
        return
    undefined = f"heads.{name}.balance.load with protocol.load = 'smooth' is not defined under"
    if protocol.logit_dropout and head.gate_dropout > 0:
        raise ValueError(
            f"{undefined} logit dropout: set protocol.logit_dropout to false, gate_dropout to 0, "
            "or protocol.load to 'importance'"
        )
    if head.balance.bias_rate > 0:
        raise ValueError(
            f"{undefined} a selection bias: set either balance.load or balance.bias_rate to 0"
        )
