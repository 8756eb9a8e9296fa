import drawn
import pytest

from moelib.report.accuracy import figures, tables

pytestmark = [pytest.mark.usefixtures("closed"), pytest.mark.slow]


def test_learning_curves_show_both_measures_of_both_splits(trained):
    figure = figures.learning_curves(tables.epochs(trained))
    titles = {axes.get_title() for axes in figure.axes}
    assert titles == {
        f"{measure}, {split} images"
        for measure in ("loss", "accuracy")
        for split in ("train", "validation")
    }
    assert all(len(drawn.lines(axes)) == 3 for axes in figure.axes)  # a line for each head
    assert drawn.texts(figure.legends[0]) == ["dense", "soft", "sparse"]


def test_heads_of_one_colour_share_an_entry_of_the_legend(trained):
    frame = tables.epochs(trained)
    names = {"dense": "dense", "soft": "soft-e4-h8", "sparse": "soft-e8-h8"}
    figure = figures.learning_curves(frame.assign(head=frame["head"].map(names)))
    assert all(len(drawn.lines(axes)) == 3 for axes in figure.axes)
    assert drawn.texts(figure.legends[0]) == ["dense", "soft"]
