import math

import synthetic

from moelib.report import effects
from moelib.study.reader import parse_study
from moelib.study.run import Run


def test_a_study_of_many_heads_is_not_compared_head_by_head():
    few = [synthetic.trained(Run(synthetic.study(), "soft", seed)) for seed in (0, 1)]
    heads = {f"soft-h{size}": {"kind": "soft"} for size in range(9)}
    study = synthetic.study(heads=heads)
    many = [synthetic.trained(Run(study, head, 0)) for head in heads]
    assert list(effects.few_heads({"few": few, "many": many, "none": []})) == ["few"]


def test_heads_of_a_study_are_counted_though_few_have_what_is_drawn():
    """Of the ten heads of `ablations` eight have experts, and of those some are variants."""
    study = synthetic.study("ablations", heads={"soft": {"kind": "soft"}, "free": {"kind": "soft"}})
    drawn = [synthetic.trained(Run(study, head, 0)) for head in study.heads]
    (main,) = effects.few_heads({"ablations": drawn})["ablations"]
    assert main.head == "soft"


SMALL, LARGE = {"kind": "small_resnet", "widths": [4]}, {"kind": "resnet18"}


def records_of(name: str, backbone: dict) -> list:
    record = synthetic.trained(Run(synthetic.study(name), "soft", 0))
    kind = parse_study({**record.study.model_dump(mode="json"), "backbone": backbone}).backbone
    study = record.study.model_copy(update={"backbone": kind})
    return [record.model_copy(update={"study": study})]


def test_the_papers_numbers_stand_beside_its_own_net_alone():
    records = {"small": records_of("small", SMALL), "paper": records_of("paper", LARGE)}
    rows = [effects.row(name, name, "soft", [1.0])[:-1] + (2.0,) for name in records]
    beside = effects.beside_paper(effects.frame(rows), records).set_index("study")["paper"]
    assert beside["paper"] == 2 and math.isnan(beside["small"])


def test_a_figure_holds_few_studies_the_first_and_those_of_the_papers_net_among_them():
    records = {name: records_of(name, SMALL) for name in "abcde"} | {
        "paper": records_of("paper", LARGE)
    }
    assert list(effects.few_heads(records)) == ["a", "b", "c", "paper"]
