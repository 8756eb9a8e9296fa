import re

import series

from moelib.report.efficiency import words


def test_the_choices_of_the_rule_are_listed_by_head_and_executor():
    records = series.efficient([("dense", 1.0), ("soft", 1.0), ("sparse", 1.0)])
    chosen = {"1": "batched", "8": "batched", "256": "batched"}
    numbers = records[1].numbers.model_copy(update={"chosen": chosen})
    records[1] = records[1].model_copy(update={"numbers": numbers})
    choices = words.executor_choice(records).partition(". ")[0].split("; ")
    entries = [re.findall(r"soft|sparse|batched|grouped|\d+", choice) for choice in choices]
    assert entries == [
        ["soft", "batched", "1", "8", "256"],
        ["sparse", "batched", "1", "grouped", "256"],
    ]
    assert words.executor_choice(records[:1]) == ""
