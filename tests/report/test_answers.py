import numpy as np
import pandas as pd
import prose
import pytest
import synthetic

from moelib.report import answers, front
from moelib.report.ablations import words as ablations_words
from moelib.report.effects import frame, row
from moelib.report.gallery import words as gallery_words
from moelib.report.wording import signed
from moelib.study.run import Run

pytestmark = pytest.mark.usefixtures("results", "closed")

VERBS = {"higher": "above", "lower": "below"}


SEEDS = np.array([-1.0, 0.5, 0.0, 1.0, -0.5])


def effects(*rows):
    """One panel of five seeds: (head, value, spread) each."""
    return frame(row("a", "a", head, value + spread * SEEDS) for head, value, spread in rows)


def comparison(frame):
    """The claim in words, and the sentence on one head after it."""
    return answers.comparison(frame, VERBS, signed, "{head} {number}").split("**")[1:]


def verbs(claim):
    """What a claim says of each head."""
    return {part.split()[0].lower(): part for part in claim.split("; ")}


def test_words_follow_the_intervals():
    claim, sentence = comparison(effects(("soft", 1, 0.2), ("sparse", -3, 0.5), ("switch", 0, 1)))
    assert "above" in verbs(claim)["soft"] and "below" in verbs(claim)["sparse"]
    assert "cannot be told apart" in verbs(claim)["switch"]
    assert prose.numbers(sentence) == ["+1.00", "95%", "+0.80", "+1.20", "5"]


def test_what_an_interval_tells_apart_may_not_survive_the_correction():
    alone = effects(("soft", 1, 0.9))
    assert alone["low"].iloc[0] > 0 and "above" in comparison(alone)[0]
    assert "uncorrected" in comparison(alone)[1]
    three = effects(("soft", 1, 0.9), ("sparse", 0, 1), ("switch", 0, 1))
    claim, sentence = comparison(three)
    assert "above" not in claim and "not significant once corrected for 3 heads" in sentence


def test_heads_of_two_seeds_are_left_to_the_chart():
    frame_of_two = frame([row("a", "a", "switch", (9.0, 9.1))])
    both = pd.concat([effects(("soft", 1, 0.2)), frame_of_two], ignore_index=True)
    assert list(verbs(comparison(both)[0])) == ["soft"]
    assert answers.too_few(both).endswith("switch has 2.") and not answers.too_few(frame_of_two)
    assert list(verbs(comparison(frame_of_two)[0])) == ["switch"]


def test_only_mixtures_of_the_first_study_are_compared():
    some = effects(("frozen", -9, 0.2), ("soft", 1, 0.2), ("sparse", 7, 0.2))
    some["study"] = ["a", "a", "b"]
    claim, sentence = comparison(some)
    assert list(verbs(claim)) == ["soft"] and "above" in claim
    assert "frozen" not in sentence and prose.numbers(sentence)[0] == "+1.00"


def test_a_kind_of_ones_own_is_compared_and_a_control_is_not():
    assert list(verbs(comparison(effects(("mine", 1, 0.2), ("uniform", 9, 0.2)))[0])) == ["mine"]
    text = answers.comparison(effects(("frozen", 1, 0.2)), VERBS, signed, "{head} {number}")
    assert text == "No mixture stands beside dense in `a`."


def test_other_studies_are_told_if_they_are_corrected_and_have_seeds():
    parts = [effects(("soft", value, 0.2), ("frozen", 9, 0.2)) for value in (1, -2, -3)]
    few = effects(("soft", -4, 0.2)).assign(seeds=3)
    every = pd.concat(
        part.assign(study=name, panel=name)
        for name, part in zip("abcd", [*parts, few], strict=True)
    )
    bases = {"a": "corrected", "b": "corrected", "c": "as-run", "d": "corrected"}
    records = {}
    for name, base in bases.items():
        run = Run(synthetic.study(name), "dense", 0)
        protocol = run.study.protocol.model_copy(update={"base": base})
        study = run.study.model_copy(update={"protocol": protocol})
        records[name] = [synthetic.trained(run).model_copy(update={"study": study})]
    assert answers.elsewhere(every, records, VERBS, condition=" now") == (
        "In `b`, soft is below dense now."
    )


def test_one_seed_compares_nets_and_not_heads():
    text = answers.comparison(
        frame([row("a", "a", "soft", (1.0,))]), VERBS, signed, "{head} {number}"
    )
    assert "one seed" in text and "above" not in text and "1.00" not in text


@pytest.mark.parametrize("chapter", [gallery_words, ablations_words])
def test_other_chapters_do_without_records_too(chapter):
    assert "make book" in next(chapter.answer(["nothing"])).data


@pytest.mark.parametrize("page", front.CHAPTERS)
def test_without_records_a_chapter_says_how_to_get_some(page):
    _, answer = front.CHAPTERS[page]
    (text,) = answer(["nothing"])
    assert "make book" in text.data


def test_each_chapter_has_an_answer_and_named_figures():
    study = synthetic.study()
    synthetic.write_all(study)
    synthetic.write_landscapes(study)
    names = []
    for page in ("accuracy", "utilization", "sharpness", "surface"):
        _, chapter = front.CHAPTERS[page]
        answer, *charts = chapter([study.name], f"own-{page}")
        assert "**" in answer.data
        names += [chart.data.splitlines()[1] for chart in charts]
    assert len(names) == len(set(names)) == 8
    assert all(name.startswith(":name: own-") for name in names)
