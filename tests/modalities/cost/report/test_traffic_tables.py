"""Frames of traffic between devices: modelled times, and what loads alone tell."""

from types import SimpleNamespace

import cost_records
import numpy as np
import pytest

from moelib.modalities.cost import traffic as counted
from moelib.modalities.cost.report import traffic
from moelib.modalities.cost.report.traffic import expect

E, K = 16, 4


def test_traffic_has_a_time_for_each_link():
    (row,) = traffic.modelled(cost_records.traffic()).to_dict("records")
    assert row["imbalance"] == 1.5
    assert row["megabytes"] == pytest.approx(2 * 90 * 2048 * 2 / 1e6)
    assert row["compute_ms"] == pytest.approx(600 * 6 * 2048 * 1024 / 989e12 * 1e3)
    assert row["10 GbE"] == pytest.approx(2 * 50 * 2048 * 2 / 1.25e9 * 1e3)  # there and back
    assert [*traffic.LINKS] == sorted(traffic.LINKS, key=row.get, reverse=True)


def test_traffic_of_trained_routers_is_a_mean_over_seeds_and_layers():
    def router(seed, *loads):
        layers = [SimpleNamespace(load=load, real={"value": 2.0, "object": 1.0}) for load in loads]
        study = SimpleNamespace(transformer=SimpleNamespace(width=64))
        tokens = {"value": 100, "object": 300}
        numbers = SimpleNamespace(tokens=tokens, layers=layers, study=study)
        return SimpleNamespace(head="top-2", seed=seed, numbers=numbers)

    separate = ((0.5, 0.5, 0.0, 0.0), (0.0, 0.0, 0.5, 0.5))  # two devices: all at home
    mixed = ((0.25,) * 4,) * 2  # half away
    table = traffic.trained([router(0, separate, mixed), router(1, mixed, mixed)])
    two = table.set_index("devices").loc[2]
    assert two["seeds"] == 2
    assert two["away"] == pytest.approx((0 + 3 * 0.5) / 4)
    words, patches = 1 - 0.5**2, 0.5  # two choices of a word, one of a patch
    assert two["leaving"] == pytest.approx(0.75 * (100 * words + 300 * patches) / 400)
    # Where there is one other device, a token with a choice elsewhere is sent once.
    assert two["megabytes"] == pytest.approx(two["leaving"] * 1000 * 2 * 64 * 2 / 1e6)
    busiest = 300 * patches * 1000 / 400  # the home of all patches
    assert two["10 GbE"] == pytest.approx(0.75 * busiest * 2 * 64 * 2 / 1.25e9 * 1e3)
    assert list(table["devices"]) == [2, 4]


@pytest.mark.parametrize("devices", counted.DEVICES)
def test_loads_alone_tell_the_share_of_choices_away(devices):
    rng = np.random.default_rng(0)
    modality, n = np.arange(20_000) % 2, 20_000
    bias = np.stack([np.linspace(0, 2, E), np.linspace(2, 0, E)])[modality]  # (n, e)
    choices = (bias + rng.gumbel(size=(n, E))).argsort(axis=1)[:, -K:]
    loads = counted.loads_of(choices, modality, E)
    device = counted.by_modality(loads, devices)
    shares = counted.homes_by_work(loads, device, devices)
    cases = [
        counted.count(choices[modality == m], home[modality == m], device)
        for home in [counted.homes_of_modalities(modality, shares)]
        for m in (0, 1)
    ]
    expected = expect(
        loads / loads.sum(axis=1, keepdims=True), loads.sum(axis=1), np.full(2, K), shares, device
    )
    assert expected.away == pytest.approx([case.away for case in cases], abs=0.01)
    # Choices without replacement spread a little more than independent ones.
    leaving = np.array([case.leaving for case in cases])
    assert expected.leaving == pytest.approx(leaving, abs=0.06)
    sent = sum(case.sent for case in cases).sum()
    assert 0.85 * sent < expected.sent.sum() < 1.01 * sent
    work = sum(case.loads for case in cases)
    assert expected.imbalance == pytest.approx(work.max() / work.mean())


def test_expected_traffic_by_hand():
    # Two devices of an expert each; words live on the first, patches on both alike.
    estimate = expect(
        loads=np.array([[0.75, 0.25], [0.5, 0.5]]),
        choices=np.array([100, 300]),
        slots=np.array([2.0, 1.0]),
        homes=np.array([[1.0, 0.0], [0.5, 0.5]]),
        device=np.array([0, 1]),
    )
    assert estimate.away == pytest.approx([0.25, 0.5])
    assert estimate.leaving == pytest.approx([1 - 0.75**2, 0.5])
    words, patches = 50 * (1 - 0.75**2), 150 * 0.5  # 50 words, and 150 patches on each
    assert estimate.sent == pytest.approx(np.array([[0, words + patches], [patches, 0]]))
    assert estimate.imbalance == pytest.approx((75 + 150) / 200)
