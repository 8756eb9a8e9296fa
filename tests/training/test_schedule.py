"""Learning rates against closed forms."""

import pytest

from moelib.study.reader import load_study
from moelib.study.training import MultiStep, OneCycle, Training
from moelib.training.schedule import learning_rate


def rates(training, steps_per_epoch):
    total = training.epochs * steps_per_epoch
    return [learning_rate(training, step, steps_per_epoch) for step in range(total)]


@pytest.mark.parametrize("study", ["paper", "paper-as-run"])
def test_the_papers_rates(study):
    schedule = rates(load_study(study).training, steps_per_epoch=352)
    epochs = [schedule[352 * epoch : 352 * (epoch + 1)] for epoch in range(50)]
    assert all(len(set(epoch)) == 1 for epoch in epochs)  # constant within an epoch
    by_epoch = [epoch[0] for epoch in epochs]
    assert by_epoch[:30] == [0.1] * 30
    assert by_epoch[30:40] == pytest.approx([0.01] * 10, rel=1e-12)
    assert by_epoch[40:] == pytest.approx([0.001] * 10, rel=1e-12)


def test_milestones_in_any_order():
    schedule = MultiStep(kind="multistep", milestones=(3, 1), gamma=0.5)
    training = Training(epochs=4, learning_rate=8.0, schedule=schedule)
    assert rates(training, steps_per_epoch=2) == [8, 8, 4, 4, 4, 4, 2, 2]


def test_one_cycle_starts_at_a_fifth_peaks_after_warm_up_and_ends_just_above_0():
    schedule = OneCycle(kind="onecycle", warmup=0.2)
    training = Training(epochs=10, learning_rate=3.0, schedule=schedule)
    curve = rates(training, steps_per_epoch=5)  # 50 steps, 10 of them of warm-up
    assert curve[0] == pytest.approx(0.6)
    assert curve[10] == max(curve) == pytest.approx(3.0)
    assert curve[49] == pytest.approx(3.0 / 40)  # one of 40 steps before 0
    rises = [b - a for a, b in zip(curve, curve[1:], strict=False)]
    assert rises[:10] == pytest.approx([0.24] * 10)  # 4/5 of the peak over 10 steps
    assert rises[10:] == pytest.approx([-3.0 / 40] * 39)


def test_one_cycle_depends_on_the_share_of_all_steps_alone():
    schedule = OneCycle(kind="onecycle", warmup=0.25)
    short = Training(epochs=2, schedule=schedule)
    long = Training(epochs=4, schedule=schedule)
    assert rates(short, 8) == rates(long, 4)
    assert rates(long, 8)[::2] == rates(short, 8)
