import drawn
import pytest
import synthetic

from moelib.report.utilization import figures, tables
from moelib.study.run import Run

pytestmark = [pytest.mark.usefixtures("closed"), pytest.mark.slow]


@pytest.fixture(scope="module")
def analysed(study):
    return [
        synthetic.analysed(Run(study, head, 0), (0.7, 0.1, 0.2, 0)) for head in ("soft", "sparse")
    ]


def test_bars_show_mass_and_selections_beside_the_uniform_share(analysed):
    figure = figures.expert_shares(tables.expert_shares(analysed).query("split == 'test'"))
    axes = figure.axes[0]
    heights = [bar.get_height() for container in axes.containers for bar in container]
    assert heights == pytest.approx([0.7, 0.1, 0.2, 0] * 2)
    assert axes.lines[-1].get_ydata()[0] == 1 / 4


def test_usage_over_epochs_has_a_line_for_each_expert(trained):
    records = [record for record in trained if record.head == "soft" and record.seed == 0]
    axes = figures.expert_shares_by_epoch(tables.expert_shares_by_epoch(records)).axes[0]
    assert len(drawn.lines(axes)) == 4 + 1
    assert list(drawn.lines(axes)[3].get_ydata()) == [0, 0, 0]  # the dead expert lies on 0


def test_uniform_use_is_that_of_each_head(analysed, trained):
    bars = tables.expert_shares(analysed)
    lines = tables.expert_shares_by_epoch(
        [record for record in trained if record.seed == 0 and record.head != "dense"]
    )
    for draw, usage in [(figures.expert_shares, bars), (figures.expert_shares_by_epoch, lines)]:
        rows = usage[(usage["head"] == "soft") | (usage["expert"] < 2)]
        uniform = {
            axes.get_title().split(" | ")[-1]: axes.lines[-1].get_ydata()[0]
            for axes in draw(rows).axes
        }
        assert uniform == {"soft": 1 / 4, "sparse": 1 / 2}


def test_heat_map_leaves_out_what_is_unknown(analysed):
    figure = figures.class_shares(tables.class_shares(analysed))
    assert [axes.get_title() for axes in figure.axes[:2]] == ["soft, seed 0", "sparse, seed 0"]
    assert figure.axes[0].images[0].get_array().shape == (2, 4)
    named = figures.class_shares(tables.class_shares(analysed), ["cat", "dog", "owl"])
    shown = tables.class_shares(analysed)["class"].unique()
    labels = [label.get_text() for label in named.axes[0].get_yticklabels()]
    assert labels == [["cat", "dog", "owl"][c] for c in shown]  # a class without images has no row
