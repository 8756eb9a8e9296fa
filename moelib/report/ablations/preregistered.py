"""Hypotheses written before their runs: what the head can do at all, what each departure did.

Each function returns the answer and then figures and tables; words are chosen by the numbers, and a
study without records is named with the command that makes them.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from IPython.display import Markdown

from moelib.records.kinds import SharpnessNumbers, TrainNumbers, UtilizationNumbers
from moelib.report import loading, pages, wording
from moelib.report.ablations import contrasts, expectations, figures, together
from moelib.report.ablations.departures import DEVICE_MATTERS, device_effect, judge_expected, part
from moelib.report.accuracy import tables as accuracy_tables
from moelib.report.accuracy import words as accuracy_words
from moelib.report.answers import MIXTURES, headline
from moelib.report.comparisons import beyond_reference, mean_differences
from moelib.report.headings import headings
from moelib.report.sharpness import tables as sharpness_tables
from moelib.report.statistics import hypotheses
from moelib.report.statistics.hypotheses import CONTRADICTED, INCONCLUSIVE, SUPPORTED, WITHIN
from moelib.report.utilization import tables as utilization_tables
from moelib.report.wording import enumeration, in_points, listed, span, with_interval

WEAK_BACKBONE, PAPER_SIZE = "weak-backbone", "paper"  # studies
WORDS = {SUPPORTED: "Yes", CONTRADICTED: "No", INCONCLUSIVE: "Not decided"}
TABLE = headings(
    "question", "what", "points", "hypothesis", "verdict", "seeds", "adjusted", "detectable"
) | {"what": ("Compared", ""), "points": ("Points (95% interval)", "")}
CHANGES = headings("question", "head", "split", "seeds", "change", "low", "high", "adjusted") | {
    "question": ("Departure", ""),
    "low": ("95% from", "rounded"),
    "high": ("to", "rounded"),
}


def weak_backbone() -> Iterator[Markdown]:
    """Do experts pay where the head has something to do?"""
    records = loading.load(WEAK_BACKBONE, TrainNumbers)
    accuracy = accuracy_tables.finals(records)
    check = contrasts.judge([contrasts.SOMETHING_TO_DO], accuracy)
    judged = contrasts.judge(contrasts.WEAK, accuracy, contrasts.MATTERS)
    if judged.empty:
        yield missing([*contrasts.WEAK])
        return
    beside = accuracy_tables.effects({WEAK_BACKBONE: records})
    beside = beside[beside["head"].isin(MIXTURES)]  # of as many parameters as dense
    claim = accuracy_words.beside_dense(beside)
    training = records[0].study.training
    recipe = f"All heads have one recipe, of {training.epochs} epochs at one rate. Under it:"
    yield Markdown(f"{claim}\n\n{_manipulation(check)} {recipe}\n\n{_by_question(judged)}")
    shown = pd.concat([check, judged])
    yield pages.chart(
        WEAK_BACKBONE, figures.differences(shown),
        f"{headline(claim)} Test accuracy of a head minus that of another in the same seed: mean "
        "and 95% t-interval over seeds (faint: each seed).", shown,
        pages.evidence({WEAK_BACKBONE: records}),
    )  # fmt: skip
    yield _table(shown)
    yield pages.source(records)


def images_of_experts() -> Markdown:
    """Whether it explains the loss of `sparse` that its experts learn from few images each.

    Those of `soft` learn from every image.
    """
    records = loading.load(WEAK_BACKBONE, TrainNumbers)
    accuracy = accuracy_tables.finals(records)
    differences = mean_differences(beyond_reference(accuracy, "test_accuracy", "sparse"))
    row = next((row for row in differences.itertuples() if row.head == "soft"), None)
    if row is None:
        return Markdown("What soft and sparse heads learn from is not compared here yet.")
    sparse = next(run.study.heads["sparse"] for run in records if run.head == "sparse")
    more = row.verdict == "higher"
    this = "this is part of what sparse loses" if more else "this alone does not explain it"
    return Markdown(
        f"An expert learns from the images that its gate sends: with {sparse.k} of "
        f"{sparse.experts} from {sparse.k / sparse.experts:.0%} of them, in soft from all. Soft is "
        f"{'' if more else 'not seen to be '}more accurate than sparse "
        f"({in_points(row.difference)} points, 95% interval "
        f"{span(row, in_points)}), so that {this}."
    )


def gate_elsewhere() -> Markdown:
    """What the gate of `sparse` brings here and where the backbone is trained with the head."""
    accuracy = accuracy_tables.finals(contrasts.load(contrasts.GATES, TrainNumbers))
    each = (contrasts.judge([gate], accuracy) for gate in contrasts.GATES)
    told = enumeration(
        f"{with_interval(row.difference, row, in_points)} points in `{row.study}`"
        for table in each
        for row in table.itertuples()
    )
    if not told:
        return Markdown("What a gate that learns brings is not measured yet.")
    return Markdown(
        f"A gate that learns, together with its noise, dropout and balance losses, brings sparse "
        f"{told} over a frozen one."
    )


def parts() -> list[Markdown]:
    """Were losses, gates and a hidden layer worth as little as was expected?"""
    expected = [contrast for family in contrasts.PARTS.values() for contrast in family]
    records = contrasts.load(expected, TrainNumbers)
    judged = contrasts.judge(expected, accuracy_tables.finals(records))
    if judged.empty:
        return [missing(expected)]
    apart = wording.across_devices(contrasts.pairs(expected, records))
    answer = [Markdown(_tally(judged)), _table(judged), *expectations.of_parts()]
    return [*answer, Markdown(apart)] if apart else answer


def departures() -> list[Markdown]:
    """What did each departure of the authors' code do to accuracy?"""
    changed = (*contrasts.DEPARTURES, *contrasts.UNPAIRED)
    family = judge_expected()
    judged = part(family, changed)
    if judged.empty:
        return [missing(contrasts.DEPARTURES)]
    records = contrasts.load(changed, TrainNumbers)
    accuracy = accuracy_tables.finals(records)
    lacking = len(changed) - len(judged)
    answer = _tally(judged) + (f" {lacking} contrasts have no records yet." if lacking else "")
    apart = wording.across_devices(contrasts.pairs(changed, records))
    words = [_noise_floor(judged), apart, _device(accuracy)]
    return [
        Markdown(answer),
        _table(judged),
        *expectations.of_departures(family),
        Markdown(" ".join(filter(None, words))),
        checkpoints(),
    ]


def all_at_once() -> list[Markdown]:
    """What was expected of all departures together; says so where nothing is measured."""
    judged = together.judged()
    return [_table(judged)] if len(judged) else [missing(together.AT_ONCE)]


def departures_in_use() -> list[Markdown]:
    """What each departure did to the use of the experts and to curvature; none without records."""
    usage = utilization_tables.summary(contrasts.load(contrasts.DEPARTURES, UtilizationNumbers))
    sharp = sharpness_tables.curvature(contrasts.load(contrasts.DEPARTURES, SharpnessNumbers))
    for name in ("lambda_max", "trace") if len(sharp) else ():
        sharp[f"log_{name}"] = np.log(sharp[name].where(sharp[name] > 0))
    measures = [
        ("information", "Information that class and expert share, nats", usage),
        ("gate_mass_variation", "Variation of gate mass over experts", usage),
        ("log_lambda_max", "Logarithm of the largest eigenvalue", sharp),
        ("log_trace", "Logarithm of the trace", sharp),
    ]
    parts = []
    for measure, title, frame in measures:
        table = contrasts.changes(contrasts.DEPARTURES, frame, measure)
        if len(table):
            changed = Markdown(f"**{title}**, change by the departure:")
            parts += [changed, pages.table(table, CHANGES)]
    return parts


def checkpoints() -> Markdown:
    """Whether the best epoch on validation was the last one, in words: then the key did nothing."""
    records = contrasts.load([*contrasts.DEPARTURES, *contrasts.UNPAIRED], TrainNumbers)
    (here, runs), (large, large_runs) = (
        (sum(r.numbers.best_validation_epoch == len(r.numbers.epochs) for r in runs), len(runs))
        for runs in (records, loading.load(PAPER_SIZE, TrainNumbers))
    )
    matters = ", and there it decides what is tested" if large < large_runs / 2 else ""
    return Markdown(
        f"The key `checkpoint` has no study of its own: here the best epoch on validation was the "
        f"last one in {here} of {runs} runs, and both protocols test the same weights. Of the "
        f"paper’s net that holds in {large} of {large_runs}{matters}."
    )


def missing(needed: Sequence[contrasts.Contrast]) -> Markdown:
    """Say plainly that nothing is here yet, and what makes it."""
    commands = listed(f"`{pages.command(study)}`" for study in contrasts.studies(needed))
    return Markdown(f"No records are here yet that could answer this. They are made by {commands}.")


def _manipulation(check: pd.DataFrame) -> str:
    if check.empty:
        return "Whether the head has anything to do here is not known yet."
    row = check.iloc[0]
    words = {
        SUPPORTED: "The head has something to do here",
        CONTRADICTED: "Even here the head has little to do",
        INCONCLUSIVE: "Whether the head has something to do here is not sure",
    }[row["verdict"]]
    return f"{words}: dense minus linear is {in_points(row['difference'])} points."


def _by_question(judged: pd.DataFrame) -> str:
    """What each question came to, as a list: yes or no where all of its hypotheses agree."""
    lines = []
    for question, rows in judged.groupby("question", sort=False):
        verdicts = set(rows["verdict"])
        word = WORDS[verdicts.pop()] if len(verdicts) == 1 else "In part"
        parts = listed(
            f"{row.head} minus {row.against} is {in_points(row.difference)}"
            for row in rows.itertuples()
        )
        lines.append(f"- {question} **{word}**: {parts} points.")
    return "\n".join(lines)


def _tally(judged: pd.DataFrame) -> str:
    counts = judged["verdict"].value_counts()
    parts = (f"{counts.get(v, 0)} {v}" for v in (SUPPORTED, CONTRADICTED, INCONCLUSIVE))
    most = judged.loc[judged["difference"].abs().idxmax()]
    return (
        f"**Expectations of accuracy: {listed(parts)}.** The largest difference "
        f"is that of {most['head']} against {most['against']}: "
        f"{in_points(most['difference'])} points, {wording.seeds_in_words(most['seeds'])}."
    )


def _table(judged: pd.DataFrame) -> Markdown:
    rows = judged.assign(
        what=judged["head"] + " against " + judged["against"],
        points=[with_interval(row.difference, row, in_points) for row in judged.itertuples()],
        detectable=100 * judged["detectable"],
        verdict=judged["verdict"].map(pages.verdict),
    )
    return pages.table(rows, TABLE)


def _device(accuracy: pd.DataFrame) -> str:
    """What the kind of device alone did to accuracy; nothing where it is not measured."""
    effect = device_effect(accuracy)
    if not effect.seeds:
        return ""
    (decision,) = hypotheses.decisions([(effect.p_for, effect.p_against)])
    return (
        "Trained again on another kind of processor, with nothing changed, the four heads differ "
        f"by {with_interval(effect.estimate, effect, in_points)} points (mean over heads, "
        f"{wording.seeds_in_words(effect.seeds)}). That this is "
        f"{wording.bound(WITHIN, DEVICE_MATTERS)}, as was expected, is "
        f"{decision.verdict}. A departure is compared with the run of its own kind of processor."
    )


def _noise_floor(judged: pd.DataFrame) -> str:
    by_seed = judged["by_seed"][judged["question"] == contrasts.UNPAIRED[0].question]
    spreads = [np.var(differences, ddof=1) for differences in by_seed if len(differences) > 1]
    if not spreads:
        return "The noise floor, another order of batches and augmentation, is not measured yet."
    return (
        "Another order of batches and another augmentation move a run by a standard "
        f"deviation of {100 * np.mean(spreads) ** 0.5:.2f} points."
    )
