from moelib.report.robustness import figures
from moelib.report.robustness.tables import strengths
from moelib.report.style import svg


def test_figures_are_drawn_the_same_each_time(records):
    frame = strengths(records)
    figure = figures.curves(frame)
    assert [axes.get_title() for axes in figure.axes] == ["JPEG", "contrast"]
    assert svg(figure) == svg(figures.curves(frame))
