from moelib.report.robustness import figures
from moelib.report.robustness.tables import strengths
from moelib.report.style import svg


def test_figures_are_drawn_the_same_each_time(records):
    frame = strengths(records)
    panels = [svg(panel) for panel in figures.curves(frame)]
    assert len(panels) == 2 and "JPEG" in panels[0] and "contrast" in panels[1]
    assert panels == [svg(panel) for panel in figures.curves(frame)]
    assert svg(figures.overview(frame)).count("JPEG") == 1
