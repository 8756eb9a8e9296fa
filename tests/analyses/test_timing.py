"""Alternation and warm-up, by work that notes when it is called and clocks that are made up."""

import re
from itertools import count
from types import SimpleNamespace

import pytest
from prose import refusal

from moelib.analyses import timing
from moelib.analyses.timing import FEWEST_REPEATS, interleave, milliseconds, race
from moelib.study.base import ConfigError

TICK = 2.0**-13  # seconds, in binary: sums of ticks are exact


@pytest.fixture
def clock(monkeypatch):
    """A clock of moelib.analyses.timing that only `work` moves on."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def work(clock, ticks, calls, name="", first=None):
    """Work that takes so many ticks, in its first call another number, and notes its calls."""

    def call():
        clock.now += TICK * (first if first is not None and name not in calls else ticks)
        calls.append(name)

    return call


# -- alternation ----------------------------------------------------------------------------------


def turn(order, name, clock):
    """Work whose time is the number of calls before it, of all works."""

    def call():
        order.append(name)
        return next(clock)

    return call


def test_ways_take_turns_in_another_order_each_round():
    order, calls = [], count()
    times = interleave(*(turn(order, name, calls) for name in "abc"), repeats=30)
    rounds = ["".join(order[i : i + 3]) for i in range(0, 93, 3)]
    assert {"".join(sorted(row)) for row in rounds} == {"abc"}
    assert len(set(rounds)) == 6  # every order occurs
    # The first round is not recorded; times of one index are of one round, whatever its order.
    expected = [tuple(3 * i + row.index(name) for i, row in enumerate(rounds)) for name in "abc"]
    assert times == [series[1:] for series in expected]


def test_the_order_is_the_same_each_time():
    orders = []
    for _ in range(2):
        orders.append([])
        interleave(*(turn(orders[-1], name, count()) for name in "abcd"), repeats=5)
    assert orders[0] == orders[1]


@pytest.mark.parametrize("repeats", [1, 2, 7])
@pytest.mark.parametrize("works", [1, 2, 5])
def test_each_way_is_timed_as_often_as_asked_and_called_once_more(works, repeats):
    order, calls = [], count()
    times = interleave(*(turn(order, name, calls) for name in range(works)), repeats=repeats)
    assert [len(series) for series in times] == [repeats] * works
    assert [order.count(name) for name in range(works)] == [repeats + 1] * works


def test_a_drift_that_slows_all_ways_leaves_ratios_of_one_index_alone():
    """What alternation is for: the machine grows slower by half from each round to the next."""

    def drifting(ms):
        rounds = count()
        return lambda: ms * 1.5 ** next(rounds)

    fast, slow = interleave(drifting(1.0), drifting(3.0), repeats=6)
    assert fast[-1] > 7 * fast[0]
    # Rounding of a product and a quotient.
    assert [b / a for a, b in zip(fast, slow, strict=True)] == pytest.approx([3.0] * 6, rel=1e-15)


# -- milliseconds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("calls", [1, 4, 7])
def test_a_time_is_the_mean_over_calls_in_a_row(clock, calls):
    log = []
    time = milliseconds(work(clock, 3, log, first=3 + calls), calls)
    assert len(log) == calls
    # One call takes `calls` ticks longer, the mean so one tick. Rounding of two operations.
    assert time == pytest.approx((3 + 1) * TICK * 1e3, rel=1e-15)


def test_a_gpu_is_waited_for_before_the_clock_starts_and_before_it_stops(clock, monkeypatch):
    """Work that is left in the queue beforehand is not this work's; its own is."""
    queue = [5.0]  # ticks of earlier work

    def synchronize():
        clock.now += TICK * sum(queue)
        queue.clear()

    monkeypatch.setattr(timing.torch.cuda, "synchronize", synchronize)
    assert milliseconds(lambda: queue.append(2.0), 3, "cuda") == pytest.approx(2 * TICK * 1e3)
    queue.append(5.0)
    assert milliseconds(lambda: queue.append(2.0), 3, "cpu") == 0  # nobody waits for a CPU
    assert len(queue) == 4


# -- race -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ticks", "expected"),
    [(1, 17), (2, 9), (16, 2), (17, 1), (100, 1)],  # at least 16.5 ticks
)
def test_short_work_is_called_so_often_that_a_timing_lasts_and_the_time_is_of_one_call(
    clock, ticks, expected
):
    calls = []
    (times,) = race([work(clock, ticks, calls)], 6, at_least=16.5 * TICK * 1e3)
    assert expected * ticks >= 16.5
    assert times == pytest.approx((ticks * TICK * 1e3,) * 6, rel=1e-15)
    # One call warms it, a second one tells how long it takes; one round of seven is unrecorded.
    assert len(calls) == 1 + 1 + 7 * expected


def test_a_slow_first_call_counts_for_nothing(clock):
    calls = []
    (times,) = race([work(clock, 1, calls, first=1000)], 6, at_least=8 * TICK * 1e3)
    assert times == pytest.approx((TICK * 1e3,) * 6, rel=1e-15)
    assert len(calls) == 2 + 7 * 8


def test_every_way_is_warm_before_any_is_timed_and_then_they_alternate(clock):
    calls = []
    works = [work(clock, ticks, calls, name) for name, ticks in (("a", 4), ("b", 2))]
    slow, fast = race(works, 6, at_least=4 * TICK * 1e3)
    rounds = "".join(calls).removeprefix("abab")  # one call warms a way, one tells how long it is
    assert set(re.findall("a(?:bb)|(?:bb)a", rounds)) <= {"abb", "bba"} and len(rounds) == 7 * 3
    assert [a / b for a, b in zip(slow, fast, strict=True)] == [2.0] * 6


@pytest.mark.parametrize("repeats", [0, 1, FEWEST_REPEATS - 1])
def test_too_few_repeats_are_refused_before_anything_is_called(repeats):
    calls = []
    with refusal(ConfigError, "at least 6 repeats", f"not {repeats}"):
        race([lambda: calls.append(0)], repeats, at_least=1.0)
    assert calls == []


@pytest.mark.parametrize(
    ("option", "names"),
    [
        ({"at_least": 0.0}, ["more than 0 ms", "not 0"]),
        ({"at_least": -2.0}, ["more than 0 ms", "not -2"]),
        ({"at_least": float("nan")}, ["more than 0 ms", "not nan"]),
        ({"device": "tpu"}, ["'tpu'", "'cpu' and 'cuda'"]),
        ({"device": "cuda"}, ["'cuda'", "no CUDA device"]),
    ],
)
def test_what_cannot_be_timed_is_refused_before_anything_is_called(monkeypatch, option, names):
    monkeypatch.setattr(timing.torch.cuda, "is_available", lambda: False)
    calls = []
    with refusal(ConfigError, *names):
        race([lambda: calls.append(0)], 6, **{"at_least": 1.0, **option})
    assert calls == []


def test_six_repeats_are_enough(clock):
    (times,) = race([work(clock, 1, [])], 6, at_least=TICK)
    assert len(times) == 6
