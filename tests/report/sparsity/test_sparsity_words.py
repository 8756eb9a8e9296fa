import re

import numpy as np
import prose
import series
import synthetic

from moelib.report.sparsity import words
from moelib.report.wording import rounded
from moelib.study.heads import family


def with_points(points, **numbers):
    record = synthetic.scaled()
    numbers = record.numbers.model_copy(update={"points": tuple(points), **numbers})
    return record.model_copy(update={"numbers": numbers})


def scale_numbers(record):
    """The numbers of the sentence on scales by what they are of."""
    values = prose.numbers(words.scale(record))
    names = ["best", "of_ideal", "experts", "k", "features", "hidden", "batch", "selecting",
             "overhead_low", "overhead_high", "overhead", "regret", "regret_high",
             "untimed", "selecting_untimed"]  # fmt: skip
    return dict(zip(names, values, strict=True))


def test_scale_sentence_tells_the_largest_gain_and_the_overhead():
    record = synthetic.scaled()
    selecting = [p for p in record.numbers.points if p.k < p.experts]
    best = max(selecting, key=lambda p: p.total[0] / p.sparse[p.chosen][0])
    ratio = best.total[0] / best.sparse[best.chosen][0]
    overheads = [p.sparse[p.chosen][0] / p.active[0] for p in selecting]
    regrets = [p.sparse[p.chosen][0] / min(p.sparse.values())[0] - 1 for p in selecting]
    assert (best.experts, best.k, best.hidden, best.batch) == (64, 1, 512, 256)
    assert scale_numbers(record) == {
        "selecting": "60",  # each E of 4 to 64, two widths and three batches, with k of 1 and of 2
        "experts": "64",
        "k": "1",
        "features": "512",
        "hidden": "512",
        "batch": "256",
        "best": f"{ratio:.1f}",
        "of_ideal": f"{ratio / 64:.0%}",
        "overhead_low": f"{min(overheads):.2g}",
        "overhead_high": f"{max(overheads):.2g}",
        "overhead": f"{np.median(overheads):.2g}",
        "regret": f"{np.median(regrets):.0%}",
        "regret_high": f"{max(regrets):.0%}",
        "untimed": "0",
        "selecting_untimed": "0",
    }


def test_scale_sentence_counts_points_without_a_time_of_the_chosen_executor():
    points = synthetic.scaled().numbers.points
    batched = [p for p in points if p.chosen == "batched" and p.batch == 32]
    sparse = sum(p.k < p.experts for p in batched)
    assert 0 < sparse < len(batched)
    loop = [p.model_copy(update={"sparse": {"loop": p.sparse["loop"]}}) for p in batched]
    values = scale_numbers(with_points([*(p for p in points if p not in batched), *loop]))
    assert values["selecting"] == str(60 - sparse)
    assert values["selecting_untimed"] == str(sparse)
    assert values["untimed"] == str(len(batched))


def test_scale_sentence_is_of_float32():
    record = synthetic.scaled()
    points = record.numbers.points
    half = [p.model_copy(update={"dtype": "bfloat16", "total": (1e9,) * 6}) for p in points]
    assert words.scale(with_points([*points, *half])) == words.scale(record)


def test_cost_tells_how_well_the_model_predicts():
    """Its times are those of a linear model, to the last digit."""
    record = synthetic.scaled()
    sentence, prices = words.cost(record)
    numbers = prose.numbers(sentence.data)
    assert numbers[:4] == ["0%"] * 4 and numbers[4] == "100%"
    bound = 2000 / record.numbers.gigaflops["float32"]
    assert f"| per 10^9 multiply-accumulates | 100 | {rounded(bound)} |" in prices.data
    assert f"| {rounded(1000 / record.numbers.gigabytes)} |" in prices.data
    assert "| fixed, for routing | 0.05 | \N{EN DASH} |" in prices.data


def test_where_sparse_pays_is_told_by_the_size_of_the_experts():
    record = synthetic.scaled()
    selecting = [p for p in record.numbers.points if p.k < p.experts]
    faster = {
        hidden: sum(p.total[0] > p.sparse[p.chosen][0] for p in selecting if p.hidden == hidden)
        for hidden in (64, 512)
    }
    assert faster[64] < faster[512]
    text, chart = words.pays({"a.json": record})
    device, _ = text.data.split("\n\n")
    assert "**The larger the experts" in chart.data
    counts = re.findall(r"(\d+) of (\d+)", device)
    assert counts == [
        (str(sum(faster.values())), "60"), (str(faster[512]), "30"), (str(faster[64]), "30")
    ]  # fmt: skip
    assert ":::{chart}" in chart.data and "../results/scale/a.json" in chart.data
    # Where all win, those of large experts do not win more often.
    alike = [p.model_copy(update={"total": (1e9,) * 6}) for p in record.numbers.points]
    assert "**Larger experts do not" in words.pays({"a.json": with_points(alike)})[1].data
    # Slower in one of six rounds: the interval of the median reaches to below 1.
    unsure = [p.model_copy(update={"total": (1e-9, *p.total[1:])}) for p in record.numbers.points]
    assert "faster in 0 of 60 cases" in words.pays({"a.json": with_points(unsure)})[0].data
    assert "no records" in words.pays({})[0].data


def test_crossovers_are_a_row_for_each_width_and_batch():
    title, _, *rows = words.crossovers(synthetic.scaled()).data.splitlines()
    assert title.split(" | ")[3:] == [*(f"E = {e}" for e in (4, 8, 16, 32)), "E = 64 |"]
    assert [row.split(" | ")[:3] for row in rows] == [
        ["| 512", str(h), str(n)] for h in (64, 512) for n in (1, 32, 256)
    ]
    text = "\n".join(rows)
    assert "≥ 0.5" in text and "none" in text and "\N{EN DASH}" not in text


def test_aim_sentence_says_what_was_aimed_at():
    numbers = prose.numbers(words.aim(synthetic.scaled()))
    assert numbers == ["64", "2", "512", "512", "256", "15", "2"]


def accurate(right):
    """The sentence on heads that have so many of 100 images right, the same ones but for more."""
    study = synthetic.study(seeds=(0,), heads={head: {"kind": family(head)} for head in right})
    return words.most_accurate(
        series.trained(study, {head: (count,) for head, count in right.items()})
    )


def test_the_best_of_each_family_are_named():
    sentence = accurate({"dense-h8": 50, "dense-h16": 80, "sparse-e4": 90, "sparse-e8": 40})
    assert re.findall(r"(\S+) (\d+\.\d+%)", sentence) == [
        *(("dense-h16", "80.00%"), ("sparse-e4", "90.00%"))
    ]


def test_heads_that_cannot_be_told_from_the_most_accurate_are_counted():
    """Six images that one alone has right: p = 2 / 2^6 = 0.03; five: 0.06. Corrected: 0.06, 0.06.

    Seven: 0.016, and twice that with Holm's correction for two others.
    """
    right = {"dense": 90, "soft": 85, "sparse": 84, "switch": 20}
    assert comparison(accurate(right)) == ("3", "2", "dense")
    right = {"dense": 85, "soft": 90, "sparse": 83}  # dense could be told from neither
    assert comparison(accurate(right)) == ("2", "1", "soft")
    assert comparison(accurate({"dense": 90, "soft": 10})) == ("1", "0", "dense")


def comparison(sentence):
    """Heads beside the most accurate one, those that are not told from it, and its name."""
    last = sentence.split(". ")[-1]
    return (*prose.numbers(last), *re.findall("dense|soft|sparse|switch", last))
