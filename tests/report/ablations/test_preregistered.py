"""Hypotheses written beforehand, without records too."""

import re

import numpy as np
import prose
import pytest
import synthetic

from moelib.records.kinds import TrainNumbers
from moelib.records.record import read_record, write_record
from moelib.report.ablations import contrasts, preregistered
from moelib.study.reader import load_study
from moelib.study.run import Run


@pytest.fixture(autouse=True)
def fresh(results):
    return results


def text(parts):
    return "\n".join(part.data for part in parts)


def verdicts(answer):
    """How many hypotheses an answer counts for each verdict."""
    return {
        word: int(n)
        for n, word in re.findall(r"(\d+) (supported|contradicted|inconclusive)", answer)
    }


def write(study, head, shares, kind="train"):
    """Records of the first seeds of a study, of which shares of 1,000 test images are right."""
    for seed, share in zip(load_study(study).seeds, shares, strict=False):
        run = Run(load_study(study), head, seed)
        right = np.arange(1000) < round(1000 * share)
        write_record(run.record_path("train"), synthetic.trained(run, right))


def test_without_records_the_chapters_name_the_commands():
    assert "STUDY=weak-backbone" in text(preregistered.weak_backbone())
    commands = re.findall(r"STUDY=([\w-]+)", text(preregistered.departures()))
    assert set(commands) == set(contrasts.studies(contrasts.DEPARTURES))
    assert preregistered.departures_in_use() == []


def test_what_the_head_can_do_is_told_by_the_numbers():
    write("weak-backbone", "linear", [0.600, 0.602, 0.601])
    write("weak-backbone", "dense", [0.650, 0.651, 0.653])
    write("weak-backbone", "sparse", [0.649, 0.652, 0.652])
    answer, *evidence = preregistered.weak_backbone()
    claim, check, questions = answer.data.split("\n\n")
    assert "Sparse" in claim and "not told apart" in claim
    words, _, difference = check.partition(": ")
    assert "something" in words and "not sure" not in words
    assert prose.numbers(difference)[0] == "+5.03"
    # Its whole interval lies within half a point of 0: no effect, where half a point was expected.
    assert re.findall(r"\*\*(.*?)\*\*", questions) == ["No"]
    assert prose.numbers(questions) == ["\N{MINUS SIGN}0.03"]
    assert ":::{chart}" in text(evidence) and "| sparse against dense |" in text(evidence)


def test_a_head_with_little_to_do_is_said_to_have_little():
    write("weak-backbone", "linear", [0.650, 0.652, 0.651])
    write("weak-backbone", "dense", [0.651, 0.652, 0.653])
    write("weak-backbone", "sparse", [0.649, 0.652, 0.652])
    answer = next(preregistered.weak_backbone()).data
    words, _, difference = answer.partition("\n\n")[2].partition(": ")
    assert "little" in words and prose.numbers(difference)[0] == "+0.10"


def test_a_question_is_answered_in_part_where_its_hypotheses_differ():
    dense = np.array([0.650, 0.651, 0.652, 0.650, 0.651])
    for head, gain in (("linear", -0.05), ("dense", 0), ("soft", 0.09), ("sparse", -0.09)):
        write("weak-backbone", head, dense + gain * np.array([1, 1.01, 1, 0.99, 1]))
    questions = next(preregistered.weak_backbone()).data.split("\n\n")[2].splitlines()
    assert re.findall(r"\*\*(.*?)\*\*", questions[0]) == ["In part"]
    assert prose.numbers(questions[0]) == ["+9.00", "\N{MINUS SIGN}9.00"]


@pytest.mark.parametrize(("gain", "reason"), [(0.02, "part of"), (0.0, "does not explain")])
def test_few_images_explain_the_loss_only_if_soft_is_better(gain, reason):
    assert "not compared" in preregistered.images_of_experts().data
    sparse = np.array([0.600, 0.602, 0.601, 0.603, 0.600])
    write("weak-backbone", "sparse", sparse)
    write("weak-backbone", "soft", sparse + gain + [0.001, -0.001, 0, 0.001, -0.001])
    text = preregistered.images_of_experts().data
    assert reason in text
    assert prose.numbers(text)[:4] == ["2", "8", "25%", f"{100 * gain:+.2f}"]


def test_the_gate_is_told_of_both_backbones():
    assert "not measured" in preregistered.gate_elsewhere().data
    frozen = np.array([0.600, 0.602, 0.601, 0.603, 0.600])
    write("weak-backbone", "frozen", frozen)
    write("weak-backbone", "sparse", frozen + [0.02, 0.03, 0.02, 0.03, 0.02])
    write("ablations", "frozen", frozen)
    write("ablations", "sparse", frozen)
    text = preregistered.gate_elsewhere().data.replace("\xa0", " ")
    assert re.findall(r"(\S+) \(\S+ to \S+\) points in `([\w-]+)`", text) == [
        ("+2.40", "weak-backbone"), ("+0.00", "ablations")
    ]  # fmt: skip


def test_what_parts_were_expected_to_bring_is_judged():
    dense = np.array([0.800, 0.801, 0.802, 0.800, 0.801])
    write("ablations", "dense", dense)
    write("ablations", "linear", dense - [0.030, 0.031, 0.029, 0.030, 0.030])
    answer, table = preregistered.parts()  # and nothing of devices, which are the same
    assert verdicts(answer.data) == {"supported": 0, "contradicted": 1, "inconclusive": 0}
    assert "| dense against linear | +3.00 (+2.91 to +3.09) |" in table.data.replace("\xa0", " ")


def test_pairs_of_two_devices_are_counted():
    write("ablations", "dense", [0.7, 0.7, 0.7])
    write("ablations", "linear", [0.6, 0.6])
    path = Run(load_study("ablations"), "linear", 0).record_path("train")
    record = read_record(path, TrainNumbers)
    elsewhere = record.provenance.model_copy(update={"device": "another CPU"})
    write_record(path, record.model_copy(update={"provenance": elsewhere}))
    assert prose.numbers(preregistered.parts()[-1].data) == ["1", "2"]


def test_a_departure_is_told_with_the_noise_floor_and_the_checkpoints():
    base = np.array([0.80, 0.81, 0.82, 0.80, 0.81])
    write("ablations", "dense", base)
    write("protocol-augment", "dense", base - [0.03, 0.031, 0.029, 0.03, 0.03])
    write("protocol-unpaired", "dense", base + [0.01, -0.01, 0.01, -0.01, 0])
    answer, *_, notes, checkpoints = preregistered.departures()
    assert verdicts(answer.data) == {"supported": 1, "contradicted": 0, "inconclusive": 1}
    untested = len(contrasts.DEPARTURES) + len(contrasts.UNPAIRED) - 2
    assert re.findall(r"(\d+) contrasts", answer.data) == [str(untested)]
    assert prose.numbers(notes.data) == ["1.00"]  # deviation in points
    assert prose.numbers(checkpoints.data) == ["15", "15", "0", "0"]  # last epochs


def test_changes_of_use_and_curvature_are_tabled():
    for study, gates in (("ablations", (0.25,) * 4), ("protocol-kl", (0.4, 0.2, 0.2, 0.2))):
        for seed, scale in ((0, 1.0), (1, 1.1)):
            run = Run(load_study(study), "soft", seed)
            write_record(run.record_path("utilization"), synthetic.analysed(run, gates))
            record = synthetic.sharp(run, 2 * scale, 60 * scale)
            write_record(run.record_path("sharpness"), record)
    parts = iter(preregistered.departures_in_use())
    tables = {title.data: table.data for title, table in zip(parts, parts, strict=True)}
    (variation,) = (table for title, table in tables.items() if "gate mass" in title)
    assert "| reversed KL | soft | test | 2 | 0.346 |" in variation  # std / mean of gates
    assert len(tables) == 4
