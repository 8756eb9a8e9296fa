import re

import numpy as np
import series
import synthetic

from moelib.records.kinds import Case
from moelib.report import findings, frames
from moelib.study.run import Run


def test_accuracy_sentence_of_several_seeds_names_the_interval():
    records = series.trained(synthetic.study(), {"dense": (80, 80, 80), "soft": (85, 86, 87)})
    said = findings.accuracy_sentence(records)
    assert said.startswith("3 seeds. Mean test accuracy: dense 80.0%, soft 86.0%.")
    # Differences 5, 6, 7: 6 and t(0.975, 2) / sqrt(3) = 4.303 / 1.732 = 2.48 on either side.
    assert "soft is higher (+6.00, 95% interval +3.52 to +8.48)" in said


def test_accuracy_sentence_compares_with_a_frozen_gate_where_there_is_one():
    heads = {"dense": {"kind": "dense"}} | {
        head: {"kind": head, "experts": 4, "k": 2} for head in ("sparse", "frozen")
    }
    right = {"dense": (80, 80, 80), "sparse": (85, 86, 87), "frozen": (80, 80, 80)}
    said = findings.accuracy_sentence(series.trained(synthetic.study(heads=heads), right))
    assert said.endswith(
        " Against a frozen gate, likewise: sparse is higher (+6.00, 95% interval +3.52 to +8.48)."
    )
    assert "frozen is not distinguishable (+0.00" in said


def test_accuracy_sentence_of_one_seed_says_what_it_cannot_tell():
    study = synthetic.study(seeds=(0,))
    said = findings.accuracy_sentence(series.trained(study, {"dense": (80,), "soft": (60,)}))
    assert "soft is lower (\N{MINUS SIGN}20.00" in said
    assert "With one seed this compares trained nets, and not heads." in said


def test_usage_sentence_counts_dead_experts_and_informed_runs():
    said = findings.usage_sentence(series.analysed(synthetic.study(), (0.5, 0.5, 0.0, 0.0)))
    assert "Dead experts: soft 2 of 4, sparse 2 of 4." in said
    assert "in 2 of 2 runs" in said


def test_usage_sentence_compares_with_a_frozen_gate_where_there_is_one():
    heads = {head: {"kind": head, "experts": 4, "k": 2} for head in ("sparse", "frozen")}
    study = synthetic.study(seeds=(0, 1), heads=heads)
    runs = [Run(study, head, seed) for head in heads for seed in study.seeds]
    said = findings.usage_sentence([synthetic.analysed(run) for run in runs])
    assert "in 4 of 4 runs; beyond that with a frozen gate, in nats, paired by seed" in said


def test_sharpness_sentence_compares_with_dense():
    records = series.sharp(synthetic.study(), {"dense": (1.0, 1.0, 1.0), "soft": (2.0, 4.0, 2.0)})
    said = findings.sharpness_sentence(records)
    assert said.startswith(
        "3 seeds. Largest Hessian eigenvalue on training and on test images (geometric means over "
        "seeds): dense 1 and 30, soft 2.52 and 75.6."
    )
    # Logarithms of 2, 4, 2: mean 4/3 ln 2, half-width t(0.975, 2) / 3 ln 2 = 1.434 ln 2.
    assert said.endswith("not corrected for their number, leaves out 1: soft (by no measure).")


def test_sharpness_sentence_tells_by_what_a_head_differs_from_dense_over_seeds():
    """Adaptive sharpness does not differ, and at matched loss it is what the raw one is."""
    of = {"dense": (1.0, 1.0, 1.0), "soft": (2.0, 2.1, 1.9), "sparse": (0.5, 0.3, 1.2)}
    one = {"dense": (30.0, 30.0, 30.0), "soft": (30.0, 31.0, 29.0), "sparse": (15.0, 14.0, 16.0)}
    records = series.sharp(synthetic.study(), of, one)
    said = findings.sharpness_sentence(records)
    assert "leaves out 1: soft (eigenvalue 2.00 on train, trace 2.00 on train, trace at" in said
    assert "), sparse (eigenvalue 0.50 on test, trace 0.50 on test, trace at matched" in said
    assert "adaptive" not in said
    assert "matched" not in findings.sharpness_sentence([unmatched(r) for r in records])


def test_one_seed_compares_nets():
    records = series.sharp(synthetic.study(seeds=(0,)), {"dense": (1.0,), "soft": (2.0,)})
    assert findings.sharpness_sentence(records) == (
        "1 seed. Largest Hessian eigenvalue on training and on test images: dense 1 and 30, soft 2 "
        "and 60. With one seed this compares trained nets, and not heads."
    )


def unmatched(record):
    found = record.numbers
    curves = {
        split: getattr(found, split).model_copy(update={"matched": None})
        for split in ("train", "test")
    }
    return record.model_copy(update={"numbers": found.model_copy(update=curves)})


def test_a_mean_of_what_has_no_logarithm_is_unknown():
    records = series.sharp(
        synthetic.study(seeds=(0, 1)), {"dense": (1.0, 4.0)}, {"dense": (-1.0, 4.0)}
    )
    assert "dense 2 and unknown." in findings.sharpness_sentence(records)


def test_sharpness_sentence_counts_what_did_not_converge():
    record = synthetic.sharp(Run(synthetic.study(), "soft", 0))
    loose = record.numbers.train.eigenvalues.model_copy(update={"residuals": (0.03,) * 5})
    train = record.numbers.train.model_copy(update={"eigenvalues": loose})
    numbers = record.numbers.model_copy(update={"train": train})
    said = findings.sharpness_sentence([record.model_copy(update={"numbers": numbers})])
    assert "In 1 of 2 cases the eigenvalues did not converge." in said
    assert "Times dense" not in said


def test_order_sentence_has_an_interval_unless_all_runs_are_in_one_order():
    values = {"dense": (1.0, 2.0), "soft": (3.0, 4.0), "sparse": (5.0, 6.0)}
    runs = frames.curvature(series.sharp(synthetic.study(seeds=(0, 1)), values))
    ordered = runs.assign(test_accuracy=runs["lambda_max"] / 200)
    assert findings.order_sentence(ordered) == (
        "Kendall's tau of the largest eigenvalue and test accuracy over 6 runs: "
        "1 (no interval) on train, 1 (no interval) on test."
    )
    swapped = ordered.replace({"test_accuracy": {1 / 200: 2 / 200, 2 / 200: 1 / 200}})
    assert "0.867 (" in findings.order_sentence(swapped)
    assert findings.order_sentence(ordered.query("head == 'dense'")) == ""  # two runs
    two = ordered.query("head != 'sparse'")  # families, which is too few to leave one out
    assert findings.order_sentence(two.assign(trace=-two["trace"]), "trace", "the trace") == (
        "Kendall's tau of the trace and test accuracy over 4 runs: "
        "\N{MINUS SIGN}1 (no interval) on train, \N{MINUS SIGN}1 (no interval) on test."
    )


def test_surface_sentence_is_of_the_largest_radius():
    study = synthetic.study(seeds=(0,))
    said = findings.surface_sentence(series.surfaced(study, {"dense": (4.0,), "sparse": (8.0,)}))
    rises = "dense 1 and 1, sparse 2 and 2."  # bend r^2 at r = 0.5
    assert (
        f"At radius 0.5 along the top eigenvector the loss on training and on test images has "
        f"risen by, in nats: {rises}" in said
    )
    assert "Images that are sent to other experts there: sparse 50%." in said
    assert said.endswith("With one seed this compares trained nets, and not heads.")
    two = synthetic.study(seeds=(0, 1))
    bends = {"dense": (4.0, 16.0), "sparse": (8.0, 33.0)}
    said = findings.surface_sentence(series.surfaced(two, bends))
    assert "has risen by, in nats (geometric means over seeds): dense 2 and 2, " in said
    assert (
        "leaves out 1: sparse (rise along the eigenvector 2.03 on train and 2.03 on test, " in said
    )


def test_efficiency_sentence_is_of_the_whole_model_and_of_the_head():
    records = series.efficient([("dense", 1.0), ("sparse", 1.3)])
    said = findings.efficiency_sentence(records)
    where = records[0].provenance
    assert said.startswith(f"{where.device}, threads: {where.threads}, fp32, batches of 256. ")
    assert "quartiles: dense 1.00 (1.00 to 1.00), sparse 1.30 (1.30 to 1.30)." in said
    assert "The head alone: dense 1.00, sparse 1.30." in said
    assert "no model could be more than 8.42% faster" in said  # 1030 / 950 multiply-accumulates
    assert said.endswith(
        "backbone alone: 1.10 to 1.10 in batches of 1, 1.10 to 1.10 in batches of 256."
    )


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


def test_many_heads_are_counted():
    heads = {f"dense-h{units}": {"kind": "dense", "hidden": units} for units in range(1, 10)}
    study = synthetic.study(seeds=(0,), heads={"dense": {"hidden": 8}, **heads})
    right = {head: (50 + rank,) for rank, head in enumerate(study.heads)}
    right["dense-h9"] = (99,)
    said = findings.accuracy_sentence(series.trained(study, right))
    assert said.startswith(
        "1 seed. 10 heads, with mean test accuracies from 50.0% (dense) to 99.0%"
    )
    # Six images that one alone has right: p = 2 / 2^6 = 0.03; five: 0.06.
    assert said.endswith("5 not distinguishable, 4 higher.")
