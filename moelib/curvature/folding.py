"""Batch normalisation in evaluation mode, folded into the convolutions before it."""

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from moelib.curvature.rounding import differ


def folded(net: nn.Module) -> nn.Module:
    """The same function of the same parameters, in evaluation mode, in fewer operations.

    A normalisation by running statistics is affine, y = s x + t with s = gamma / sqrt(var + eps)
    and t = beta - s mean. After a convolution it scales that convolution's filters: s (W * x) + t =
    (s W) * x + t. The filters are scaled anew in each call, so every derivative with respect to
    W, gamma and beta stays what it was. Shares parameters and buffers, and their names, with `net`.

    A net that cannot be traced, for its control flow or the length of a batch, say, is returned as
    it is. Tracing does not see everything: hooks of what is folded are lost, and a net that asks
    for a type can become another function.
    """
    try:
        traced = fx.symbolic_trace(net)
    except (fx.proxy.TraceError, TypeError, RuntimeError):  # RuntimeError: of `len`
        return net
    modules, graph = dict(traced.named_modules()), traced.graph
    for node in list(graph.nodes):
        norm = modules.get(node.target) if node.op == "call_module" else None
        if not isinstance(norm, nn.BatchNorm2d) or not norm.track_running_stats or node.kwargs:
            continue
        before = node.args[0]
        conv = modules.get(before.target) if before.op == "call_module" else None
        foldable = (
            isinstance(conv, nn.Conv2d)
            and conv.padding_mode == "zeros"
            and len(before.users) == 1
            and not before.kwargs
        )
        with graph.inserting_before(node):

            def attribute(owner: fx.Node, name: str) -> fx.Node | None:
                present = getattr(modules[owner.target], name) is not None
                return graph.get_attr(f"{owner.target}.{name}") if present else None

            names = ("running_mean", "running_var", "weight", "bias")
            statistics = [attribute(node, name) for name in names]
            if foldable:
                tensors = (before.args[0], attribute(before, "weight"), attribute(before, "bias"))
                geometry = (conv.stride, conv.padding, conv.dilation, conv.groups)
                new = graph.call_function(
                    _convolution, (*tensors, *statistics, norm.eps, *geometry)
                )
            else:
                new = graph.call_function(_affine, (before, *statistics, norm.eps))
        node.replace_all_uses_with(new)
        graph.erase_node(node)
        if foldable:
            graph.erase_node(before)
    traced.recompile()
    return traced


@torch.no_grad()
def fold_backbone(model: nn.Module, images: Tensor) -> None:
    """Fold the normalisations of the model's `backbone`, if it has one, in place.

    Where that makes another function of these images (n, ...), which tracing cannot rule out, the
    backbone stays as it is.
    """
    backbone = getattr(model, "backbone", None)
    if isinstance(backbone, nn.Module):
        before = model(images)  # (n, c)
        model.backbone = folded(backbone)
        if differ([model(images)], [before]):
            model.backbone = backbone


def _convolution(x, weight, bias, mean, var, gamma, beta, eps, stride, padding, dilation, groups):
    scale, shift = _scale_and_shift(mean, var, gamma, beta, eps)  # (out,)
    if bias is not None:
        shift = shift + scale * bias
    weight = weight * scale[:, None, None, None]
    return F.conv2d(x, weight, shift, stride, padding, dilation, groups)


def _affine(x, mean, var, gamma, beta, eps):
    scale, shift = _scale_and_shift(mean, var, gamma, beta, eps)  # (channel,)
    return x * scale[:, None, None] + shift[:, None, None]


def _scale_and_shift(mean, var, gamma, beta, eps) -> tuple[Tensor, Tensor]:
    scale = torch.rsqrt(var + eps) if gamma is None else gamma * torch.rsqrt(var + eps)
    shift = -mean * scale if beta is None else beta - mean * scale
    return scale, shift
