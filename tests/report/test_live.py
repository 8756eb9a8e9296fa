"""Learning curves that grow: what they show after each epoch, and that papermill draws none."""

from types import SimpleNamespace

import pytest

from moelib.report import live


@pytest.fixture
def figures(monkeypatch):
    """Figures in the order in which a person in JupyterLab sees them."""
    monkeypatch.setenv("JPY_SESSION_NAME", "train.ipynb")
    figures = []

    def display(figure, display_id):
        figures.append(figure)
        return SimpleNamespace(update=figures.append)

    monkeypatch.setattr(live, "display", display)
    return figures


def epoch(number: int, loss: float, accuracy: float) -> SimpleNamespace:
    train = SimpleNamespace(loss=loss, accuracy=accuracy)
    validation = SimpleNamespace(loss=2 * loss, accuracy=accuracy / 2)
    return SimpleNamespace(epoch=number, train=train, validation=validation)


def test_the_curves_hold_all_finished_epochs_of_both_splits(figures):
    draw = live.live_curves("sparse")
    draw([epoch(1, 2.0, 0.3), epoch(2, 1.0, 0.6)])
    assert len(figures) == 2 and figures[0] is figures[1]  # one figure, drawn anew
    loss, accuracy = (
        [line.get_xydata().tolist() for line in axes.lines] for axes in figures[1].axes
    )
    assert loss == [[[1, 2.0], [2, 1.0]], [[1, 4.0], [2, 2.0]]]
    assert accuracy == [[[1, 0.3], [2, 0.6]], [[1, 0.15], [2, 0.3]]]
    assert figures[1].axes[0].get_xlim()[1] >= 2


def test_nothing_is_drawn_where_nobody_watches(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert live.live_curves("sparse") is None
