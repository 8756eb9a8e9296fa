"""What the chapters on routing between modalities show: answers, charts and tables of records."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pandas as pd
from IPython.display import Markdown

from moelib.modalities.report import figures, tables
from moelib.modalities.report.tables import Comparison, Trained, Verdict
from moelib.records.modalities import ModalityUtilizationNumbers, NlvrNumbers
from moelib.records.record import Record
from moelib.report import pages
from moelib.report.answers import BARS
from moelib.report.forest import panels
from moelib.report.headings import headings
from moelib.report.statistics.hypotheses import CONTRADICTED, INCONCLUSIVE, LEVEL, SUPPORTED
from moelib.report.statistics.power import MOST_SEEDS, detectable_effect, needed_seeds
from moelib.report.wording import (
    across_devices,
    devices_of,
    in_points,
    listed,
    plain,
    seeds_of,
    with_interval,
)
from moelib.study.modalities import TopK, load_modality_study

KINDS = {  # of perceptrons
    "dense": "one for all tokens",
    "top_k": "the k of the largest gates",
    "hard": "the k of the largest gates, of those of the token's modality",
    "guided": "the k of the largest gates; a loss gives groups of experts to modalities",
    "slots": "as many experts as the token's importance asks for, k on average",
}
SAME = 0.01  # experts per token, up to which two types of tokens get as many


def missing(study: str, records: Sequence[Record]) -> Markdown | None:
    """Say plainly that a study has no records, or that seeds are missing."""
    if not records:
        return Markdown(
            f"*There are no records of `studies/modalities/{study}.yaml` in this checkout; "
            f"`{command(study)}` makes them.*"
        )
    study = records[0].numbers.study
    runs = {(arm, seed) for seed in study.seeds for arm in study.arms}
    finished = runs & {(record.head, record.seed) for record in records}
    if finished != runs:
        return Markdown(
            f"*{len(finished)} of {len(runs)} runs of this study are finished: what follows is of "
            "those, paired by seed where a pair is complete.*"
        )
    return None


def arms(study: str) -> Markdown:
    """What the arms of a study are, whether or not there are records: kinds, and what is set."""
    rows = [
        {
            "arm": name,
            "kind": KINDS[arm.kind],
            "experts": getattr(arm, "experts", None),
            "k": getattr(arm, "k", None),
            "hidden": arm.hidden,
            "set": listed(
                f"`{key}: {value}`"
                for key, value in arm.model_dump(exclude_defaults=True).items()
                if key not in ("kind", "experts", "k", "hidden")
            ),
        }
        for name, arm in load_modality_study(study).arms.items()
    ]
    columns = headings("arm", "kind", "experts", "k", "hidden", "set") | {
        "kind": ("Perceptron of a block", ""),
        "experts": ("Experts", ".0f"),
        "hidden": ("Hidden units of each", "d"),
    }
    return pages.table(pd.DataFrame(rows), columns)


def command(study: str) -> str:
    """What a reader types to make a study's records."""
    return f".venv/bin/python -m moelib.modalities {study}"


def source(study: str, records: Sequence[Record]) -> Markdown:
    """Which study and seeds are shown, where, links to the records, and the command."""
    links = pages.seed_links(records, f"modalities/{study}", _file(records[0]))
    return Markdown(
        f":::{{div}} source\nStudy `modalities/{study}`, {seeds_of(records)}. "
        f"{devices_of(records)}. Records `{_file(records[0])}.json` by seed: {links}. "
        f"Made by `{command(study)}`.\n:::"
    )


def _file(record: Record) -> str:
    """Name of the file of a record and its like: NLVR has one for each split."""
    if isinstance(record.numbers, NlvrNumbers):
        return f"{record.kind}-{record.numbers.split}"
    return record.kind


def evidence(study: str, task: str) -> str:
    """Where the records behind a figure are, which notebook measured them, and what makes them."""
    return (
        "[Records](modalities-tables.ipynb#all-arms) of "
        f"`notebooks/modalities_{task}.ipynb` · made by `{command(study)}`"
    )


def split_chart(study: str, records: Sequence[Trained]) -> Markdown:
    """Accuracy on truths, which every split asks for, of the arms that see words and pictures."""
    sighted = [record for record in records if _sighted(record)]
    table = tables.by_split(sighted or records)  # blind arms are far off, and in the tables
    seeds = table.groupby("arm")["seed"].nunique()
    whole = table[table["arm"].map(seeds) == seeds.max()]  # arms that lack seeds are only drawn
    means = whole.pivot_table("truths", "arm", "split", sort=False)
    lost = 100 * means.drop(columns="iid").rsub(means["iid"], axis=0)
    claim = ""
    if sighted and lost.size:
        hardest = lost.mean().idxmax()
        low, high = lost[hardest].min(), lost[hardest].max()
        claim = (
            f"**Of what training does not show, *{hardest}* costs most: "
            f"{plain(lost[hardest].mean())} points of accuracy, on average over arms "
            f"({plain(low)} to {plain(high)}).** "
        )
    caption = (
        f"{claim}Accuracy on the truths of each split: mean over seeds (diamond), and each seed."
    )
    drawn = [figures.splits(table)]
    return pages.chart(f"{study}-splits", drawn, caption, table, evidence(study, "train"))


def gap_chart(study: str, records: Sequence[Trained]) -> Markdown:
    """The gap of all arms on held-out compositions."""
    sighted = [record for record in records if _sighted(record)]
    if not sighted:
        return Markdown("*No arm that sees words and pictures is trained yet.*")
    table = tables.gaps(sighted, f"modalities, {study}")
    told = [v for v in tables.judged(records, tables.MAIN) if v.comparison.value is tables.gap]
    apart = ""
    if told:
        beyond = sum(v.verdict == CONTRADICTED for v in told)
        apart = f"; in {beyond} of {len(told)} comparisons arms are shown to differ by a point"
    whole = table[table["seeds"] == table["seeds"].max()]
    caption = (
        f"**The gap is {plain(whole['value'].min())} to {plain(whole['value'].max())} points, by "
        f"arm{apart}.** Accuracy on truths of seen compositions minus that on held-out ones. {BARS}"
    )
    drawn = panels(table, "gap, points")
    return pages.chart(f"{study}-gap", drawn, caption, table, evidence(study, "train"))


def type_chart(study: str, records: Sequence[Record[ModalityUtilizationNumbers]]) -> Markdown:
    """Real experts of each type of token, by arm."""
    wide = tables.experts_by_type(records).set_index("arm")
    wide = wide[wide.max(axis=1) - wide.min(axis=1) > SAME]
    if wide.empty:
        return Markdown("*No arm here gives some tokens more experts than others.*")
    table = wide.reset_index()
    uneven = (wide.max(axis=1) - wide.min(axis=1)).idxmax()
    most, least = wide.loc[uneven].idxmax(), wide.loc[uneven].idxmin()
    caption = (
        f"**With *{uneven}* a token of the type *{most}* meets {plain(wide.loc[uneven, most])} "
        f"experts, and one of the type *{least}* {plain(wide.loc[uneven, least])}.** Experts that "
        "compute for a token, mean over layers and seeds: words by what they do in the sentence, "
        "patches by whether they show an object. The other arms give all tokens as many."
    )
    if most == "empty":  # patches without an object
        caption += " Empty patches get the most, which no question is about."
    drawn = [figures.experts_by_type(table)]
    name = f"{study}-experts"
    return pages.chart(name, drawn, caption, table, evidence(study, "utilization"))


def sparsity_chart(study: str, records: Sequence[Trained]) -> Markdown:
    """Accuracy and gap over the share of experts that a token meets."""
    table = sparsity(records)
    if table.empty:
        return Markdown("*No arm of either family is trained yet.*")
    if table.groupby("arm").size().min() > 1:
        means = table.groupby(["family", "share"])["accuracy"].mean()
        best = {family: means[family].idxmax() for family in dict.fromkeys(table["family"])}
        shares = listed(f"{Fraction(share)} with {family}" for family, share in best.items())
        claim = f"**Accuracy on *iid* is highest at k/E = {shares}.**"
    else:
        claim = "**A first look: a second seed of each arm may change the order.**"
    caption = f"{claim} Mean over seeds (line), and each seed."
    drawn = figures.sparsity(table)
    return pages.chart(f"{study}-share", drawn, caption, table, evidence(study, "train"))


def load_chart(study: str, record: Record[ModalityUtilizationNumbers]) -> Markdown:
    """Which experts words and patches of a run choose in each layer."""
    table = layers(record)
    most = table.loc[table["load"].idxmax()]
    caption = (
        f"**In layer {most['layer']} expert {most['expert']} gets {most['load']:.0%} of the "
        f"choices of {most['modality']} tokens.** Share of a modality's choices that fall on each "
        f"expert; dashed: an even share. `{record.head}` in `modalities/{study}`, seed "
        f"{record.seed}."
    )
    name = f"{study}-loads-{record.head}-{record.seed}"
    drawn = figures.loads(table)
    return pages.chart(name, drawn, caption, table, evidence(study, "utilization"))


def _sighted(record: Trained) -> bool:
    """Whether its arm sees words and pictures."""
    return getattr(record.numbers.study.arms[record.head], "sees", "both") == "both"


def verdicts(family: Sequence[Verdict]) -> Markdown:
    """The comparisons of a family: difference, what was expected, and the verdict."""
    rows = [
        {
            "name": v.comparison.name,
            "what": f"{v.comparison.statement}: `{v.comparison.arm}` minus "
            f"`{v.comparison.baseline}`",
            "seeds": len(v.differences),
            "points": with_interval(v.mean, v, in_points),
            "expected": v.comparison.expected,
            "verdict": pages.verdict(v.verdict),
            "adjusted": v.adjusted,
        }
        for v in family
    ]
    columns = headings("name", "what", "seeds", "points", "expected", "verdict", "adjusted")
    return pages.table(pd.DataFrame(rows), columns)


def devices(records: Sequence[Trained], family: Sequence[Comparison]) -> Markdown:
    """How many of the pairs of a family are of two devices."""
    return Markdown(across_devices(tables.pairs(records, family)))


def answer(family: Sequence[Verdict]) -> str:
    """How the expectations of a family fared, in a sentence."""
    told = {
        SUPPORTED: "as expected",
        CONTRADICTED: "otherwise than expected",
        INCONCLUSIVE: "not decided by these seeds",
    }
    names = {word: [v.comparison.name for v in family if v.verdict == word] for word in told}
    words = "; ".join(f"{told[word]}: {listed(some)}" for word, some in names.items() if some)
    return f"**{words[0].upper()}{words[1:]}.**"


def allocation(family: Sequence[Verdict]) -> str:
    """The answer to whether dynamic allocation helps composition, in the words of the numbers."""
    by_name = {v.comparison.name: v for v in family}
    if "H1" not in by_name or "H2" not in by_name:
        return "*Too few runs are finished to say.*"
    h1, h2 = by_name["H1"], by_name["H2"]
    seeds = min(len(h1.differences), len(h2.differences))
    facts = (
        f"the gap on held-out compositions with learned slots is {_apart(h1)} than that of top-2, "
        f"and {_apart(h2)} than that of shuffled importance"
    )
    if INCONCLUSIVE in (h1.verdict, h2.verdict):
        planned = len(load_modality_study("main").seeds)
        which = f"{seeds} seeds" + (", all that were planned," if seeds == planned else "")
        return f"**{which} do not decide it**: {facts}.{_resolution((h1, h2))}"
    if all(v.verdict == CONTRADICTED and v.mean < 0 for v in (h1, h2)):  # by more than a point
        return f"**Here it does**: {facts}."
    return f"**Here it does not**: {facts}."


def _apart(verdict: Verdict) -> str:
    side = "smaller" if verdict.mean < 0 else "larger"
    return f"{plain(100 * abs(verdict.mean))} points {side}"


def _resolution(open_ones: Sequence[Verdict]) -> str:
    """Which difference these seeds could have told, and how many would tell one of a point."""
    samples = [np.array(v.differences) for v in open_ones]
    spread, count = max((s.std(ddof=1) if len(s) > 1 else 0.0, len(s)) for s in samples)
    if not spread > 0:
        return ""
    level = LEVEL / len(tables.MAIN)
    seeds = needed_seeds(tables.POINT, spread, level)
    return (
        f" With their scatter {count} seeds show differences of "
        f"{plain(100 * detectable_effect(spread, count, level))} points or more; one of a point "
        f"would take {seeds if seeds else f'more than {MOST_SEEDS:,}'} seeds."
    )


def accuracies(records: Sequence[Trained]) -> Markdown:
    """Parameters and accuracy on each split, mean over seeds."""
    rows = pd.DataFrame(
        {
            "arm": record.head,
            "total": record.numbers.total_parameters / 1e6,
            "active": record.numbers.active_parameters / 1e6,
            **{split: answers.accuracy for split, answers in record.numbers.tests.items()},
            "consistency": record.numbers.tests["iid"].consistency,
            "entailed": record.numbers.entailed or math.nan,
            "gap": tables.gap(record),
        }
        for record in records
    )
    wide = rows.groupby("arm", sort=False).mean().reset_index()
    names = list(records[0].numbers.tests)
    columns = headings("arm", "total", "active")
    columns |= {name: (name, ".1%") for name in names}
    columns |= headings("consistency", "entailed", "gap")
    columns["consistency"] = ("All four", ".1%")
    return pages.table(wide, columns)


def forms(records: Sequence[Trained]) -> Markdown:
    """Accuracy on iid by form of question, mean over seeds."""
    rows = [{"arm": r.head, **r.numbers.tests["iid"].forms} for r in records]
    table = pd.DataFrame(rows).groupby("arm", sort=False).mean().reset_index()
    columns = headings("arm") | {name: (name, ".1%") for name in table.columns[1:]}
    return pages.table(table, columns)


def human(records: Sequence[Record[NlvrNumbers]]) -> Markdown:
    """Accuracy and consistency on NLVR, mean over seeds, beside the more frequent label.

    Above the table stands whether any arm beats that label by two points, as was not expected.
    """
    names = ("accuracy", "consistency", "said_true", "majority", "unknown_words")
    rows = [
        {"arm": r.head, "split": r.numbers.split, **{n: getattr(r.numbers, n) for n in names}}
        for r in records
    ]
    runs = pd.DataFrame(rows).groupby(["arm", "split"], sort=False)
    table = runs.mean().assign(seeds=runs.size()).reset_index()
    columns = headings(
        "arm", "split", "seeds", "accuracy", "majority", "consistency", "said_true", "unknown_words"
    ) | {"split": ("Split", "")}
    above = 100 * (table["accuracy"] - table["majority"])
    best = above.idxmax()
    expected = above[best] < 2
    sentence = (
        f"**{'As' if expected else 'Otherwise than'} expected, {'no' if expected else 'an'} arm is "
        f"two points above the more frequent label on {table['split'][best]}**: the best, "
        f"{table['arm'][best]}, is {plain(abs(above[best]))} points "
        f"{'above' if above[best] > 0 else 'below'} it."
    )
    return Markdown(f"{sentence}\n\n{pages.table(table, columns).data}")


def sparsity(records: Sequence[Trained]) -> pd.DataFrame:
    """Accuracy and gap by the share k/E, for both families of the study of sparsity."""
    families = {"total": "equal total parameters", "active": "equal active parameters"}
    rows = []
    for record in records:
        arm = record.numbers.study.arms[record.head]
        family = families.get(record.head.split("-")[0])
        if family and isinstance(arm, TopK):
            share = arm.k / arm.experts
            values = (tables.iid(record), tables.gap(record))
            rows.append((family, record.head, record.seed, share, *values))
    names = ["family", "arm", "seed", "share", "accuracy", "gap"]
    return pd.DataFrame(rows, columns=names)


def epochs(records: Sequence[Trained]) -> pd.DataFrame:
    """Learning curves of runs."""
    return pd.DataFrame(
        [
            (r.head, r.seed, e.epoch, e.loss, e.validation_accuracy, e.real)
            for r in records
            for e in r.numbers.epochs
        ],
        columns=["arm", "seed", "epoch", "loss", "validation", "real"],
    )


def layers(record: Record) -> pd.DataFrame:
    """Loads of a run's experts by layer and modality."""
    return pd.DataFrame(
        [
            (number, modality, expert, load)
            for number, layer in enumerate(record.numbers.layers, start=1)
            for modality, row in zip(("text", "vision"), layer.load, strict=True)
            for expert, load in enumerate(row)
        ],
        columns=["layer", "modality", "expert", "load"],
    )
