"""Traffic between devices beside a count token by token, and cases that have one answer."""

import runpy

import numpy as np
import pytest
from prose import refusal

from moelib.modalities.cost import traffic
from moelib.modalities.cost.traces import TRACES
from moelib.modalities.cost.traffic import NONE
from moelib.study.base import PROJECT, ConfigError

E, K, N = 16, 4, 400


def random_case(devices, seed=0, dropped=0.0):
    rng = np.random.default_rng(seed)
    choices = rng.random((N, E)).argsort(axis=1)[:, :K]
    choices[rng.random((N, K)) < dropped] = NONE
    return choices, rng.integers(devices, size=N), rng.permutation(traffic.in_order(E, devices))


def by_token(choices, home, device):
    """The same with loops and sets."""
    devices = device.max() + 1
    sent, loads = np.zeros((devices, devices)), np.zeros(devices)
    leaving = away = executed = 0
    for row, own in zip(choices.tolist(), home.tolist(), strict=True):
        targets = [device[e] for e in row if e != NONE]
        for target in targets:
            loads[target] += 1
            away += target != own
            executed += 1
        remote = set(targets) - {own}
        leaving += bool(remote)
        for target in remote:
            sent[own, target] += 1
    return leaving / len(home), away / executed, sent, loads


@pytest.mark.parametrize("devices", traffic.DEVICES)
@pytest.mark.parametrize("dropped", [0.0, 0.4])
def test_counts_are_those_of_a_loop_over_tokens(devices, dropped):
    case = random_case(devices, dropped=dropped)
    counts = traffic.count(*case)
    leaving, away, sent, loads = by_token(*case)
    assert (counts.leaving, counts.away) == pytest.approx((leaving, away))
    np.testing.assert_array_equal(counts.sent, sent)
    np.testing.assert_array_equal(counts.loads, loads)
    assert counts.choices == loads.sum()
    assert counts.copies == sent.sum() <= counts.away * counts.choices + 1e-9
    assert counts.moved(2048) == 2 * sent.sum() * 2048 * 2


def test_nothing_leaves_one_device():
    choices, _, _ = random_case(2)
    counts = traffic.count(choices, np.zeros(N, int), np.zeros(E, int))
    assert (counts.leaving, counts.away, counts.copies, counts.imbalance) == (0, 0, 0, 1)


def test_uniform_choices_leave_as_often_as_chance_says():
    rng = np.random.default_rng(1)
    choices = rng.random((40_000, 64)).argsort(axis=1)[:, :8]
    counts = traffic.count(choices, rng.integers(2, size=40_000), traffic.in_order(64, 2))
    assert counts.away == pytest.approx(1 / 2, abs=0.005)
    # All eight at home: 32/64 31/63 ... 25/57, near the 1/2^8 of draws with replacement.
    at_home = np.prod([(32 - i) / (64 - i) for i in range(8)])
    assert counts.leaving == pytest.approx(1 - at_home, abs=0.001)


def test_all_tokens_to_one_expert_is_as_uneven_as_can_be():
    counts = traffic.count(np.full((10, 1), 3), np.zeros(10, int), traffic.in_order(4, 4))
    assert counts.imbalance == 4
    assert (counts.leaving, counts.copies) == (1, 10)


def test_a_perfect_partition_stays_at_home():
    modality = np.arange(N) % 2
    rng = np.random.default_rng(0)
    choices = rng.random((N, E // 2)).argsort(axis=1)[:, :K] * 2 + modality[:, None]  # odd, even
    loads = traffic.loads_of(choices, modality, E)
    device = traffic.by_modality(loads, 2)
    np.testing.assert_array_equal(device, np.arange(E) % 2)
    shares = traffic.homes_by_work(loads, device, 2)
    home = traffic.homes_of_modalities(modality, shares)
    assert traffic.count(choices, home, device).leaving == 0
    apart = traffic.count(choices, traffic.homes_of_sequences(np.arange(N) // 7, 2), device)
    assert apart.leaving == pytest.approx(0.5, abs=0.1)  # whoever lives on the other side


@pytest.mark.parametrize("devices", traffic.DEVICES)
def test_numbering_experts_anew_changes_nothing(devices):
    choices, home, device = random_case(devices)
    order = np.random.default_rng(5).permutation(E)
    moved = np.empty_like(device)
    moved[order] = device
    counts, renumbered = (
        traffic.count(c, home, d) for c, d in ((choices, device), (order[choices], moved))
    )
    np.testing.assert_array_equal(counts.sent, renumbered.sent)
    np.testing.assert_array_equal(counts.loads, renumbered.loads)


def test_modalities_live_where_their_work_is():
    loads = np.array([[9, 9, 0, 0, 0, 0, 0, 0], [0, 0, 9, 9, 9, 9, 9, 9]])
    shares = traffic.homes_by_work(loads, traffic.in_order(8, 4), 4)
    np.testing.assert_allclose(shares, [[1, 0, 0, 0], [0, 1 / 3, 1 / 3, 1 / 3]])
    home = traffic.homes_of_modalities(np.array([0, 0, 1, 1, 1, 1]), shares)
    assert home.tolist() == [0, 0, 1, 2, 3, 1]
    np.testing.assert_array_equal(traffic.homes_by_work(loads, np.zeros(8, int), 1), [[1], [1]])


def test_the_scripts_traces_have_all_cases(monkeypatch):
    script = runpy.run_path(str(PROJECT / "benchmarks" / "modalities_traffic.py"))
    script["measure"].__globals__.update(SEQUENCES=4)
    cases = script["measure"]().cases
    assert len(cases) == len(TRACES) * 3 * 2 * 2
    assert {case.tokens for case in cases} == {2 * 640}
    variable = [case for case in cases if case.source == "trace, variable"]
    assert all(1 <= case.choices / case.tokens < 8 for case in variable)


def test_the_busiest_device_and_the_busiest_link_are_told():
    modality = np.zeros(8, int)
    choices = np.array([[0], [0], [0], [1]] * 2)  # three of four to the first device
    case = next(
        case
        for case in traffic.cases(
            "", choices, modality, np.repeat([0, 1], 4), experts=2, width=4, hidden=5
        )
        if case.homes == "sequences" and case.placement == "in order"
    )
    assert (case.tokens, case.busiest_load, case.copies, case.busiest_link) == (4, 3, 1, 1)


def test_the_tokens_that_place_experts_are_not_those_that_are_counted():
    rng = np.random.default_rng(0)
    sequences = np.repeat(np.arange(10), 40)
    choices = rng.random((400, E)).argsort(axis=1)[:, :K]
    modality = np.arange(400) % 2
    cases = list(traffic.cases("", choices, modality, sequences, experts=E, width=8, hidden=8))
    assert len(cases) == 3 * 2 * 2
    assert {case.tokens for case in cases} == {200}
    altered = choices.copy()
    altered[sequences % 2 == 0] = 0  # only the placement by load may change
    replaced = traffic.cases("", altered, modality, sequences, experts=E, width=8, hidden=8)
    for before, after in zip(cases, replaced, strict=True):
        if before.placement == "in order" and before.homes == "sequences":
            assert before == after
    halves = [case for case in cases if case.devices == 2 and case.homes == "sequences"]
    for case in halves:
        assert case.leaving == pytest.approx((case.leaving_words + case.leaving_patches) / 2)


def test_a_text_alone_has_no_share_of_patches():
    choices, sequences = np.zeros((4, 1), int), np.array([0, 0, 1, 1])
    case = next(
        traffic.cases("", choices, np.zeros(4, int), sequences, experts=2, width=1, hidden=1)
    )
    assert (case.leaving_patches, case.leaving_words) == (None, 0)


def test_arrays_that_do_not_fit_are_refused():
    choices, home, device = random_case(2)
    with refusal(ConfigError, "(400, 4), (3,) and (16,)"):
        traffic.count(choices, home[:3], device)
    with refusal(ConfigError, "experts 0 to 15", -1, "not 0 to 16"):
        traffic.count(np.where(choices == 3, 16, choices), home, device)
    with pytest.raises(ConfigError, match="numbered from 0"):
        traffic.count(choices, home + 5, device)
    with refusal(ConfigError, "16 experts", "3 devices"):
        traffic.in_order(16, 3)
