import pytest
import robust
import synthetic

from moelib.report.robustness import figures
from moelib.report.robustness.tables import strengths
from moelib.report.style import svg
from moelib.study.run import Run


@pytest.fixture
def study():
    return synthetic.study(seeds=(0, 1))


@pytest.fixture
def records(study):
    """A soft head that loses twice as much as a dense one."""
    return [
        robust.robust(Run(study, head, seed), loss)
        for head, loss in {"dense": 0.1, "soft": 0.2}.items()
        for seed in study.seeds
    ]


def test_figures_are_drawn_the_same_each_time(records):
    frame = strengths(records)
    panels = [svg(panel) for panel in figures.curves(frame)]
    assert len(panels) == 2 and "jpeg" in panels[0] and "contrast" in panels[1]
    assert panels == [svg(panel) for panel in figures.curves(frame)]
    assert svg(figures.overview(frame)).count("jpeg") == 1
