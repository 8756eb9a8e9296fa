import series
import synthetic

from moelib import findings
from moelib.kinds import Case
from moelib.run import Run


def test_accuracy_sentence_of_several_seeds_names_the_interval():
    records = series.trained(synthetic.study(), {"dense": (80, 80, 80), "soft": (85, 86, 87)})
    said = findings.accuracy_sentence(records)
    assert said.startswith("3 seeds. Mean test accuracy: dense 80.0%, soft 86.0%.")
    # Differences 5, 6, 7: 6 and t(0.975, 2) / sqrt(3) = 4.303 / 1.732 = 2.48 on either side.
    assert "soft is higher (+6.00, 95% interval +3.52 to +8.48)" in said


def test_accuracy_sentence_of_one_seed_says_what_it_cannot_tell():
    study = synthetic.study(seeds=(0,))
    said = findings.accuracy_sentence(series.trained(study, {"dense": (80,), "soft": (60,)}))
    assert "soft is lower (\N{MINUS SIGN}20.00" in said
    assert "With one seed this compares trained nets, and not heads." in said


def test_usage_sentence_counts_dead_experts_and_informed_runs():
    said = findings.usage_sentence(series.analysed(synthetic.study(), (0.5, 0.5, 0.0, 0.0)))
    assert "Dead experts: soft 2 of 4, sparse 2 of 4." in said
    assert "in 2 of 2 runs" in said


def test_sharpness_sentence_compares_with_dense():
    records = series.sharp(synthetic.study(), {"dense": (1.0, 1.0, 1.0), "soft": (2.0, 4.0, 2.0)})
    said = findings.sharpness_sentence(records)
    assert said.startswith(
        "3 seeds. Largest Hessian eigenvalue, mean over seeds, on training and on test images: "
        "dense 1 and 30, soft 2.67 and 80. Trace: dense 10 and 300, soft 26.7 and 800."
    )
    # Logarithms of 2, 4, 2: mean 4/3 ln 2, half-width t(0.975, 2) / 3 ln 2 = 1.434 ln 2.
    assert "with 95% intervals: eigenvalue soft 2.52 (0.93 to 6.81) and 2.52" in said


def test_sharpness_sentence_counts_what_did_not_converge():
    record = synthetic.sharp(Run(synthetic.study(), "soft", 0))
    loose = record.numbers.train.eigenvalues.model_copy(update={"converged": False})
    train = record.numbers.train.model_copy(update={"eigenvalues": loose})
    numbers = record.numbers.model_copy(update={"train": train})
    said = findings.sharpness_sentence([record.model_copy(update={"numbers": numbers})])
    assert "In 1 of 2 cases the eigenvalues did not converge." in said
    assert "Times that of dense" not in said


def test_surface_sentence_is_of_the_largest_radius():
    study = synthetic.study(seeds=(0,))
    said = findings.surface_sentence(series.surfaced(study, {"dense": (4.0,), "sparse": (8.0,)}))
    rises = "dense 1 and 1, sparse 2 and 2."  # bend r^2 at r = 0.5
    assert (
        f"At radius 0.5 along the top eigenvector the loss on training and on test images has "
        f"risen by, in nats: {rises}" in said
    )
    assert "Images that are sent to other experts there: sparse 50%." in said
    assert "rise along the eigenvector sparse 2.00 and 2.00. With one seed" in said


def test_efficiency_sentence_is_of_the_whole_model_and_of_the_head():
    said = findings.efficiency_sentence(series.efficient([("dense", 1.0), ("sparse", 1.3)]))
    assert "batches of 256" in said
    assert "quartiles: dense 1.00 (1.00 to 1.00), sparse 1.30 (1.30 to 1.30)." in said
    assert "The head alone: dense 1.00, sparse 1.30." in said
    assert "at most 1.053 times faster" in said  # 1000 of 950 multiply-accumulates


def test_scale_sentence_counts_the_sizes_at_which_sparse_wins():
    record = synthetic.scaled()
    wins = [p for p in record.numbers.points if p.k < p.experts and p.total[0] > p.sparse[0]]
    said = findings.scale_sentence(record)
    assert said.startswith("Of 60 sizes with k < E, a sparse head is faster than a dense one of ")
    assert f"at {len(wins)}, most at E = 64, k = 1, h = 512 and 256 images" in said


def test_front_sentence_says_whether_its_ends_can_be_told_apart():
    study = synthetic.study(seeds=(0,))

    def said(dense, sparse):
        cases = tuple(
            Case(
                setting={"head": head, "part": "model", "batch": 1},
                baseline=(1.0, 1.0, 1.0),
                candidate=(ms, ms, ms),
            )
            for head, ms in (("dense", 1.0), ("sparse", 2.0))
        )
        numbers = synthetic.benchmark().numbers.model_copy(update={"cases": cases})
        right = {"dense": (dense,), "sparse": (sparse,)}
        return findings.front_sentence(series.trained(study, right), numbers)

    assert "the front is dense (50.00%), sparse (52.00%)" in said(50, 52)
    assert said(50, 52).endswith("overlap, so that the data do not tell them apart.")
    assert said(50, 90).endswith("do not overlap.")
    assert "the front is dense (60.00%);" in said(60, 52)  # faster, and more accurate


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
