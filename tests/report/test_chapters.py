import pandas as pd
import pytest
import series
import synthetic

from moelib.records.record import write_record
from moelib.report import chapters
from moelib.report.effects import COLUMNS
from moelib.report.wording import signed

pytestmark = pytest.mark.usefixtures("results", "closed")
SAID = {"higher": "above", "lower": "below"}


def effects(*rows):
    """One panel of five seeds: (head, value, low, high) each."""
    full = [("a", "a", head, 5, *numbers, (), None) for head, *numbers in rows]
    return pd.DataFrame(full, columns=COLUMNS)


def test_words_follow_the_intervals():
    frame = effects(("soft", 1, 0.5, 1.5), ("sparse", -3, -4, -2), ("switch", 0, -1, 1))
    told = chapters._against(frame, SAID, signed, " points")
    claim, most = told.split(".** ")
    assert claim == "**Soft is above dense; sparse is below it; switch is not told apart from it"
    assert "sparse in `a`" in most and "\N{MINUS SIGN}3.00 points" in most


def test_the_study_of_most_seeds_is_told():
    frame = effects(("soft", 1, 0.5, 1.5), ("soft", 9, 8, 10))
    frame["seeds"] = [5, 2]
    assert "above" in chapters._against(frame, SAID, signed, " points")
    assert "9.00" not in chapters._against(frame, SAID, signed, " points")


def test_one_seed_compares_nets_and_not_heads():
    frame = effects(("soft", 1, None, None)).assign(seeds=1)
    told = chapters._against(frame, SAID, signed, " points")
    assert "above" not in told and "One" not in told and "one seed" in told


@pytest.mark.parametrize("chapter", chapters.ALL.values())
def test_without_records_a_chapter_says_how_to_get_some(chapter):
    (text,) = chapter(["nothing"])
    assert "make book" in text.data


def test_each_chapter_has_an_answer_and_named_figures():
    study = synthetic.study()
    synthetic.write_all(study)
    synthetic.write_landscapes(study)
    names = []
    for chapter in (chapters.accuracy, chapters.utilization, chapters.sharpness, chapters.surface):
        answer, *figures = chapter([study.name], f"own-{chapter.__name__}")
        assert "**" in answer.data
        names += [figure.data.splitlines()[1] for figure in figures]
    assert len(names) == len(set(names)) == 7
    assert all(name.startswith(":name: own-") for name in names)


def test_sharpness_is_told_of_test_images():
    study = synthetic.study(seeds=(0, 1))
    for record in series.sharp(study, {"dense": (1, 1), "soft": (4, 1)}):
        write_record(record_path(record), record)
    answer = chapters.sharpness([study.name])[0].data
    assert "sharper" not in answer.split(".**")[0]


def record_path(record):
    from moelib.study.run import Run

    return Run(record.study, record.head, record.seed).record_path(record.kind)
