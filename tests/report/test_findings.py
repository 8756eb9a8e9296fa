import re

import numpy as np
import series
import synthetic

from moelib.records.benchmarks import Case
from moelib.report import findings


def test_choice_sentence_says_where_all_experts_are_computed():
    records = series.efficient([("dense", 1.0), ("soft", 1.0), ("sparse", 1.0)])
    chosen = {"1": "batched", "8": "batched", "256": "batched"}
    numbers = records[1].numbers.model_copy(update={"chosen": chosen})
    records[1] = records[1].model_copy(update={"numbers": numbers})
    said = findings.choice_sentence(records)
    assert said.startswith(
        "The rule chose: soft batched in batches of 1, 8, 256; sparse batched in batches of 1 and "
        "grouped in batches of 256. Where it chose batched, all experts are computed"
    )
    assert findings.choice_sentence(records[:1]) == ""


def with_points(points, **numbers):
    record = synthetic.scaled()
    numbers = record.numbers.model_copy(update={"points": tuple(points), **numbers})
    return record.model_copy(update={"numbers": numbers})


def won(point):
    return point.total[0] > point.sparse[point.chosen][0]


def test_scale_sentence_counts_the_sizes_at_which_sparse_wins():
    record = synthetic.scaled()
    selecting = [p for p in record.numbers.points if p.k < p.experts]
    wins = [p for p in selecting if won(p)]
    said = findings.scale_sentence(record)
    # Each E of 4 to 64, two widths and three batches, with k of 1 and of 2.
    assert said.startswith(f"Of 60 sparse heads with k < E, {len(wins)} are faster than a dense ")
    assert 0 < len(wins) < 60
    assert "(each by the 95% interval of its median, not corrected for their number)" in said
    best = max(selecting, key=lambda p: p.total[0] / p.sparse[p.chosen][0])
    assert (best.experts, best.k, best.hidden, best.batch) == (64, 1, 512, 256)
    ratio = best.total[0] / best.sparse[best.chosen][0]
    assert (
        "most at E = 64, k = 1, d = 512, h = 512 and 256 images: "
        f"{ratio:.1f} times, {ratio / 64:.0%} of E/k." in said
    )
    overheads = [p.sparse[p.chosen][0] / p.active[0] for p in selecting]
    assert (
        f"gate included, {min(overheads):.2g} to {max(overheads):.2g} times as long, with a median "
        f"of {np.median(overheads):.2g}." in said
    )
    regrets = [p.sparse[p.chosen][0] / min(p.sparse.values())[0] - 1 for p in selecting]
    assert f"costs {np.median(regrets):.0%} at the median and {max(regrets):.0%} at worst" in said
    assert "Left out are 0 more with k < E and 0 with k = E, at which" in said
    # Its times are those of a linear model, to the last digit.
    assert said.endswith("with a median error of 0% for sparse heads and 0% for dense ones.")


def test_scale_sentence_counts_points_without_a_time_of_the_chosen_executor():
    points = synthetic.scaled().numbers.points
    few = [p for p in points if p.chosen == "batched" and p.batch == 32]
    sparse = sum(p.k < p.experts for p in few)
    assert 0 < sparse < len(few)
    loop = [p.model_copy(update={"sparse": {"loop": p.sparse["loop"]}}) for p in few]
    said = findings.scale_sentence(with_points([*(p for p in points if p not in few), *loop]))
    assert said.startswith(f"Of {60 - sparse} sparse heads with k < E, ")
    more = f"Left out are {sparse} more with k < E and {len(few) - sparse} with k = E, at which"
    assert more in said


def test_scale_sentence_is_of_float32_and_of_sure_wins():
    record = synthetic.scaled()
    points = record.numbers.points
    half = [p.model_copy(update={"dtype": "bfloat16", "total": (1e9,) * 6}) for p in points]
    assert findings.scale_sentence(with_points([*points, *half])) == findings.scale_sentence(record)
    # Slower in one of six rounds: the interval of the median reaches to below 1.
    unsure = [p.model_copy(update={"total": (1e-9, *p.total[1:])}) for p in points]
    assert "Of 60 sparse heads with k < E, 0 are faster" in findings.scale_sentence(
        with_points(unsure)
    )


def test_aim_sentence_says_what_was_aimed_at_and_found_in_each_precision():
    record = synthetic.scaled()
    aim = record.numbers.aim
    at = ("experts", "k", "features", "hidden", "batch")
    point = next(
        p for p in record.numbers.points if all(getattr(p, x) == getattr(aim, x) for x in at)
    )
    sparse = dict.fromkeys(point.sparse, (2.0,) * 6)
    met = point.model_copy(update={"sparse": sparse, "total": (32.0,) * 6, "active": (1.0,) * 6})
    missed = met.model_copy(update={"dtype": "bfloat16", "active": (0.5,) * 6})
    said = findings.aim_sentence(with_points([met, missed]))
    assert said == (
        "At E = 64, k = 2, d = 512, h = 512 and 256 images the aim was at least 15 times the speed "
        "of the dense head of equal total parameters, and at most 2 times the time of that of "
        "equal active parameters. Found: float32 16.0 and 2.00 (met), bfloat16 16.0 and 4.00 "
        "(missed)."
    )
    elsewhere = met.model_copy(update={"experts": 4})
    said = findings.aim_sentence(with_points([elsewhere]))
    assert said.endswith("equal active parameters. The record holds no timing of this size.")


def front_said(right, ms):
    """The sentence of heads that have so many of 100 images right and take so long."""
    study = synthetic.study(seeds=(0,), heads={head: {"kind": "linear"} for head in right})
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
    return findings.front_sentence(
        series.trained(study, {head: (count,) for head, count in right.items()}), numbers
    )


def test_front_sentence_names_the_front_and_the_best_of_each_family():
    """Images are right in a row: the head that has more right has all that the others have."""
    said = front_said(
        {"dense-h8": 50, "dense-h16": 80, "sparse-e4": 90, "sparse-e8": 40},
        {"dense-h8": 1.0, "dense-h16": 2.0, "sparse-e4": 3.0, "sparse-e8": 4.0},
    )
    front = "the front is dense-h8 (100%), dense-h16 (100%), sparse-e4 (100%)."
    assert f"For the head alone and batches of 1 {front}" in said
    assert f"For the whole model and batches of 256 {front}" in said
    assert "most accurate of each family: dense-h16 80.00%, sparse-e4 90.00%." in said


def test_front_sentence_counts_those_that_cannot_be_told_from_the_most_accurate():
    """Six images that one alone has right: p = 2 / 2^6 = 0.03; five: 0.06."""
    right = {"dense": 90, "soft": 85, "sparse": 84, "switch": 20}
    said = front_said(right, dict.fromkeys(right, 1.0))
    assert "Of 3 other heads 1 cannot be told from dense on the same test images" in said
    right = {"dense": 85, "soft": 90, "sparse": 84}  # dense could be told from neither
    said = front_said(right, dict.fromkeys(right, 1.0))
    assert "Of 2 other heads 1 cannot be told from soft" in said
    said = front_said({"dense": 90, "soft": 10}, {"dense": 2.0, "soft": 1.0})
    assert "Of 1 other heads 0 cannot be told from dense" in said


def test_front_sentence_says_how_often_a_head_stays():
    """One image apart and slower: on the front in the resamples that draw it, 1 - .99^100."""
    said = front_said({"dense": 51, "soft": 50}, {"dense": 2.0, "soft": 1.0})
    share = re.search(r"front is soft \(100%\), dense \((\d+)%\)", said).group(1)
    assert 57 <= int(share) <= 70  # 63 %, and four standard errors of 1000 resamples
