"""Spectral density of a symmetric operator by stochastic Lanczos quadrature."""

import torch
from torch import Tensor
from tqdm import trange

from moelib.curvature.lanczos import Krylov
from moelib.curvature.operators import Products
from moelib.records.kinds import Density

BANDWIDTH = 0.01  # of the Gaussians, as a share of the distance of the extreme nodes


def density(products: Products, probes: Tensor, steps: int) -> Density:
    """Nodes and weights of the density, from the Krylov spaces of random probes (s, p).

    From each probe Lanczos gives Ritz values theta and weights, the squared first components of
    T's eigenvectors: the Gauss quadrature of the density that the probe sees (Ubaru 2017; Ghorbani
    2019). The mean over probes estimates the density of all eigenvalues.

    Of diag(1, 1, -2) a probe of equal entries sees the eigenvalues 1 and -2 with weights 2/3, 1/3:

    >>> diagonal = torch.tensor([1.0, 1.0, -2.0], dtype=torch.float64)
    >>> shape = density(lambda v: v * diagonal, torch.ones(1, 3, dtype=torch.float64), 2)
    >>> [round(node, 9) for node in shape.nodes], [round(weight, 3) for weight in shape.weights]
    ([-2.0, 1.0], [0.333, 0.667])
    """
    steps = min(steps, probes.shape[1])
    krylov = Krylov(products, probes, steps)
    for _ in trange(steps, desc="density", unit="step", mininterval=1):
        krylov.extend()
    values, vectors, _ = krylov.ritz()  # (s, m), (s, m, m)
    nodes = values.flatten()
    weights = (vectors[:, 0].square() / len(probes)).flatten()
    bandwidth = max(BANDWIDTH * (nodes.max() - nodes.min()).item(), torch.finfo(nodes.dtype).tiny)
    sizes = weights * nodes.abs()
    total = sizes.sum().item()
    return Density(
        nodes=tuple(nodes.tolist()),
        weights=tuple(weights.tolist()),
        bandwidth=bandwidth,
        negative_mass=weights[nodes < -bandwidth].sum().item(),
        negative_share=sizes[nodes < 0].sum().item() / total if total else 0.0,
        probes=len(probes),
    )
