"""Spectral densities: moments against exact ones, exactness, and negative mass."""

import pytest
import torch
from test_lanczos import random, with_spectrum

from moelib.curvature.density import density


def test_moments_are_those_that_the_probes_see():
    # Gauss quadrature with m nodes is exact for polynomials up to degree 2m - 1.
    matrix = with_spectrum(torch.cat([torch.rand(80), torch.tensor([30.0, -5.0])]))
    probes = random(3, 82)
    spectrum = density(lambda v: v @ matrix, probes, 6)
    nodes, weights = torch.tensor(spectrum.nodes), torch.tensor(spectrum.weights)
    unit = probes / probes.norm(dim=1, keepdim=True)
    power = unit
    for degree in range(12):
        expected = (unit * power).sum(dim=1).mean().item()
        moment = (weights.double() * nodes.double() ** degree).sum().item()
        assert moment == pytest.approx(expected, rel=1e-6), degree
        power = power @ matrix


def test_all_steps_and_many_probes_give_the_spectrum():
    eigenvalues = torch.cat([torch.full((30,), 2.0), torch.full((10,), -1.0)])
    matrix = with_spectrum(eigenvalues)
    spectrum = density(lambda v: v @ matrix, random(400, 40), 40)
    # Share 1/4 at -1, from 400 probes of 40 entries: deviation sqrt(2 * 3/16 / 40 / 400) = 0.005.
    assert spectrum.negative_mass == pytest.approx(0.25, abs=0.02)
    assert spectrum.negative_share == pytest.approx(10 / 70, abs=0.02)
    assert sum(spectrum.weights) == pytest.approx(1)
    assert spectrum.bandwidth == pytest.approx(0.03, rel=1e-6)


def test_an_operator_without_curvature():
    spectrum = density(lambda v: torch.zeros_like(v), random(2, 10), 4)
    assert spectrum.negative_mass == spectrum.negative_share == 0 and sum(spectrum.weights) == 1
