import re

import numpy as np
import prose
import series
import synthetic

from moelib.records.benchmarks import Case
from moelib.report.sparsity import words
from moelib.study.heads import family


def with_points(points, **numbers):
    record = synthetic.scaled()
    numbers = record.numbers.model_copy(update={"points": tuple(points), **numbers})
    return record.model_copy(update={"numbers": numbers})


def scale_numbers(record):
    """The numbers of the sentence on scales by what they are of."""
    values = prose.numbers(words.scale(record).replace("95%", ""))
    names = ["selecting", "wins", "experts", "k", "features", "hidden", "batch", "best", "of_ideal",
             "overhead_low", "overhead_high", "overhead", "regret", "regret_high",
             "selecting_untimed", "full_untimed", "sparse_error", "dense_error"]  # fmt: skip
    return dict(zip(names, values, strict=True))


def test_scale_sentence_counts_the_sizes_at_which_sparse_wins():
    record = synthetic.scaled()
    selecting = [p for p in record.numbers.points if p.k < p.experts]
    wins = sum(p.total[0] > p.sparse[p.chosen][0] for p in selecting)
    best = max(selecting, key=lambda p: p.total[0] / p.sparse[p.chosen][0])
    ratio = best.total[0] / best.sparse[best.chosen][0]
    overheads = [p.sparse[p.chosen][0] / p.active[0] for p in selecting]
    regrets = [p.sparse[p.chosen][0] / min(p.sparse.values())[0] - 1 for p in selecting]
    assert 0 < wins < 60
    assert (best.experts, best.k, best.hidden, best.batch) == (64, 1, 512, 256)
    assert scale_numbers(record) == {
        "selecting": "60",  # each E of 4 to 64, two widths and three batches, with k of 1 and of 2
        "wins": str(wins),
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
        "selecting_untimed": "0",
        "full_untimed": "0",
        # Its times are those of a linear model, to the last digit.
        "sparse_error": "0%",
        "dense_error": "0%",
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
    assert values["full_untimed"] == str(len(batched) - sparse)


def test_scale_sentence_is_of_float32_and_of_sure_wins():
    record = synthetic.scaled()
    points = record.numbers.points
    half = [p.model_copy(update={"dtype": "bfloat16", "total": (1e9,) * 6}) for p in points]
    assert words.scale(with_points([*points, *half])) == words.scale(record)
    # Slower in one of six rounds: the interval of the median reaches to below 1.
    unsure = [p.model_copy(update={"total": (1e-9, *p.total[1:])}) for p in points]
    values = scale_numbers(with_points(unsure))
    assert (values["selecting"], values["wins"]) == ("60", "0")


def test_where_sparse_pays_is_told_by_the_size_of_the_experts():
    record = synthetic.scaled()
    selecting = [p for p in record.numbers.points if p.k < p.experts]
    faster = {
        hidden: sum(p.total[0] > p.sparse[p.chosen][0] for p in selecting if p.hidden == hidden)
        for hidden in (64, 512)
    }
    assert faster[64] < faster[512]
    text, chart = words.pays({"a.json": record})
    claim, device, _ = text.data.split("\n\n")
    assert claim.startswith("**The larger the experts")
    counts = re.findall(r"(\d+) of (\d+)", device)
    assert counts == [
        (str(sum(faster.values())), "60"), (str(faster[512]), "30"), (str(faster[64]), "30")
    ]  # fmt: skip
    assert ":::{chart}" in chart.data and "../results/scale/a.json" in chart.data
    # Where all win, those of large experts do not win more often.
    alike = [p.model_copy(update={"total": (1e9,) * 6}) for p in record.numbers.points]
    assert "do not" in words.pays({"a.json": with_points(alike)})[0].data.split("\n")[0]
    assert "no records" in words.pays({})[0].data


def test_aim_sentence_says_what_was_aimed_at_and_found_in_each_precision():
    record = synthetic.scaled()
    aim = record.numbers.aim
    size = ("experts", "k", "features", "hidden", "batch")
    point = next(
        p
        for p in record.numbers.points
        if all(getattr(p, name) == getattr(aim, name) for name in size)
    )
    sparse = dict.fromkeys(point.sparse, (2.0,) * 6)
    met = point.model_copy(update={"sparse": sparse, "total": (32.0,) * 6, "active": (1.0,) * 6})
    missed = met.model_copy(update={"dtype": "bfloat16", "active": (0.5,) * 6})
    sentence = words.aim(with_points([met, missed]))
    aims, results = sentence.split(". ", 1)
    assert prose.numbers(aims) == ["64", "2", "512", "512", "256", "15", "2"]
    assert re.findall(r"b?float\d+|met|missed|\d+\.\d+", results) == [
        *("float32", "16.0", "2.00", "met", "bfloat16", "16.0", "4.00", "missed")
    ]
    small = with_points([met.model_copy(update={"experts": 4})])
    assert words.aim(small).startswith(aims)
    assert "no timing" in words.aim(small)


def front_sentence(right, ms):
    """The sentence of heads that have so many of 100 images right and take so long."""
    study = synthetic.study(seeds=(0,), heads={head: {"kind": family(head)} for head in right})
    cases = tuple(
        Case(
            setting={"head": head, "part": part, "batch": batch},
            baseline=(1.0, 1.0, 1.0),
            candidate=(times,) * 3,
        )
        for part, batch in (("head", 1), ("model", 256))
        for head, times in ms.items()
    )
    numbers = synthetic.benchmark().numbers.model_copy(update={"cases": cases})
    return words.front(
        series.trained(study, {head: (count,) for head, count in right.items()}), numbers
    )


def test_front_sentence_names_the_front_and_the_best_of_each_family():
    """Images are right in a row: the head that has more right has all that the others have."""
    sentence = front_sentence(
        {"dense-h8": 50, "dense-h16": 80, "sparse-e4": 90, "sparse-e8": 40},
        {"dense-h8": 1.0, "dense-h16": 2.0, "sparse-e4": 3.0, "sparse-e8": 4.0},
    )
    fronts = [part for part in sentence.split(". ") if "batches" in part]
    for front, part, batch in zip(fronts, ("head", "model"), ("1", "256"), strict=True):
        assert part in front and prose.numbers(front) == [batch, "100%", "100%", "100%"]
        heads = re.findall(r"(?:dense|sparse)-\w+", front)
        assert heads == ["dense-h8", "dense-h16", "sparse-e4"]
    assert re.findall(r"(\S+) (\d+\.\d+%)", sentence) == [
        *(("dense-h16", "80.00%"), ("sparse-e4", "90.00%"))
    ]


def test_front_sentence_counts_those_that_cannot_be_told_from_the_most_accurate():
    """Six images that one alone has right: p = 2 / 2^6 = 0.03; five: 0.06. Corrected: 0.06, 0.06.

    Seven: 0.016, and twice that with Holm's correction for two others.
    """
    right = {"dense": 90, "soft": 85, "sparse": 84, "switch": 20}
    assert comparison(front_sentence(right, dict.fromkeys(right, 1.0))) == ("3", "2", "dense")
    right = {"dense": 85, "soft": 90, "sparse": 83}  # dense could be told from neither
    assert comparison(front_sentence(right, dict.fromkeys(right, 1.0))) == ("2", "1", "soft")
    sentence = front_sentence({"dense": 90, "soft": 10}, {"dense": 2.0, "soft": 1.0})
    assert comparison(sentence) == ("1", "0", "dense")


def comparison(sentence):
    """Heads beside the most accurate one, those that are not told from it, and its name."""
    last = sentence.split(". ")[-1]
    return (*prose.numbers(last), *re.findall("dense|soft|sparse|switch", last))


def test_front_sentence_says_how_often_a_head_stays():
    """One image apart and slower: on the front in the resamples that draw it, 1 - .99^100."""
    sentence = front_sentence({"dense": 51, "soft": 50}, {"dense": 2.0, "soft": 1.0})
    fronts = [part for part in sentence.split(". ") if "batches" in part]
    assert len(fronts) == 2
    for front in fronts:
        shares = dict(re.findall(r"(\w+) \((\d+)%\)", front))
        assert list(shares) == ["soft", "dense"] and shares["soft"] == "100"
        assert 57 <= int(shares["dense"]) <= 70  # 63 %, and four standard errors of 1000 resamples
