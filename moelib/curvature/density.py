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
