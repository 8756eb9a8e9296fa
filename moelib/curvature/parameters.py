"""The parameters of a model, or of a group of them, as one flat vector."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from moelib.curvature.error import CurvatureError


class ParameterVector:
    """The weights w (p,) of a group, in the order of `model.named_parameters()`, and back.

    A group may be a part of a tensor, as one expert is of stacked weights. The tensors that hold
    any of the group are the ones to differentiate by; outside the group they stay as they are.

    Args:
        model: with all its parameters on one device.
        group: all, or a name in `parameter_groups(model)`.

    Attributes:
        weights: (p,), the model's own.
        groups: name -> (p,) of bool: where each group other than `all` lies in the vector.

    Raises:
        CurvatureError: the model has no parameters, or the group is unknown.
    """

    def __init__(self, model: nn.Module, group: str = "all"):
        named = dict(model.named_parameters())
        if not named:
            raise CurvatureError("The model has no parameters to take derivatives by.")
        groups = parameter_groups(model)
        if group not in groups:
            raise CurvatureError(
                f"There is no parameter group '{group}'; the groups are {', '.join(groups)}."
            )
        sizes = [parameter.numel() for parameter in named.values()]
        device = next(iter(named.values())).device
        chosen = torch.zeros(sum(sizes), dtype=torch.bool)
        chosen[groups[group]] = True
        parts = dict(zip(named, chosen.split(sizes), strict=True))
        self._shapes = {name: named[name].shape for name, part in parts.items() if part.any()}
        inside = torch.cat([parts[name] for name in self._shapes])  # (p of whole tensors,)
        self._inside = None if inside.all() else inside.nonzero().flatten().to(device)
        self._whole = torch.cat([named[name].detach().flatten() for name in self._shapes])
        self.weights = self._restrict(self._whole)  # (p,)
        self.groups = {
            name: mask.to(device)
            for name, mask in ((name, _mask(groups[name], chosen)) for name in groups)
            if name != "all" and mask.any()
        }

    def flatten(self, tensors: Iterable[Tensor]) -> Tensor:
        """The group's numbers (p,) in tensors of the parameters' shapes, such as a gradient."""
        return self._restrict(torch.cat([t.flatten() for t in tensors]))

    def unflatten(self, vector: Tensor) -> list[Tensor]:
        """A direction (p,) as tensors of the parameters' shapes, 0 outside the group."""
        if self._inside is not None:
            vector = torch.zeros_like(self._whole).index_copy(0, self._inside, vector)
        return self._split(vector)

    def tensors(self, weights: Tensor | None = None) -> dict[str, Tensor]:
        """Name -> parameter at weights (p,), by default the model's own; without a graph."""
        whole = self._whole
        if weights is not None:
            whole = weights if self._inside is None else whole.index_copy(0, self._inside, weights)
        return dict(zip(self._shapes, self._split(whole.detach()), strict=True))

    def leaves(self, weights: Tensor | None = None) -> dict[str, Tensor]:
        """`tensors` as leaves to differentiate by."""
        return {name: t.requires_grad_() for name, t in self.tensors(weights).items()}

    def _split(self, whole: Tensor) -> list[Tensor]:
        parts = whole.split([shape.numel() for shape in self._shapes.values()])
        return [part.view(shape) for part, shape in zip(parts, self._shapes.values(), strict=True)]

    def _restrict(self, whole: Tensor) -> Tensor:
        return whole if self._inside is None else whole[self._inside]


def parameter_groups(model: nn.Module) -> dict[str, Tensor]:
    """Where the named groups of parameters lie in the flat vector of all: name -> indices.

    `all`; each child of the model, such as backbone and head; and of a mixture its gate, its
    experts, and each expert, which is a slice of every stacked tensor.
    """
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    everything = torch.arange(sum(sizes.values()))
    flat = dict(zip(sizes, everything.split(list(sizes.values())), strict=True))

    def under(prefix: str) -> list[Tensor]:
        return [part for name, part in flat.items() if name.startswith(prefix)]

    groups = {"all": everything}
    for child, _ in model.named_children():
        groups[child] = torch.cat([*under(f"{child}."), everything[:0]])
    head = getattr(model, "head", None)
    if hasattr(head, "experts"):
        groups["gate"] = torch.cat([*under("head.gate."), everything[:0]])
        groups["experts"] = torch.cat(under("head.experts."))
        stacked = [
            positions.view(parameter.shape).movedim(axis, 0)  # (e, ...)
            for name, axis in head.experts.EXPERT_AXES.items()
            for positions, parameter in [
                (flat[f"head.experts.{name}"], head.experts.get_parameter(name))
            ]
        ]
        for e in range(len(stacked[0])):
            groups[f"expert {e}"] = torch.cat([part[e].flatten() for part in stacked])
    return {name: indices for name, indices in groups.items() if len(indices)}


def _mask(indices: Tensor, chosen: Tensor) -> Tensor:
    mask = torch.zeros_like(chosen)
    mask[indices] = True
    return mask[chosen]
