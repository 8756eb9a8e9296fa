"""What the chapters on routing between modalities show: answers, charts and tables of records."""

import math
from collections.abc import Sequence
from fractions import Fraction

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure

from moelib.modalities.report import figures, tables
from moelib.modalities.report.tables import Comparison, Trained, Utilized
from moelib.records.modalities import NlvrNumbers
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
from moelib.study.modalities import load_modality_study

KINDS = {  # of perceptrons
    "dense": "one for all tokens",
    "top_k": "the k of the largest gates",
    "hard": "the k of the largest gates, of those of the token's modality",
    "guided": "the k of the largest gates; a loss gives groups of experts to modalities",
    "slots": "as many experts as the token's importance asks for, k on average",
}
FATES = {  # of what was expected
    SUPPORTED: "as expected",
    CONTRADICTED: "otherwise than expected",
    INCONCLUSIVE: "not decided by these seeds",
}
SAME = 0.01  # experts per token, up to which two types of tokens get as many


def missing(study: str, records: Sequence[Record]) -> list[Markdown]:
    """Say plainly that a study has no records or lacks runs; nothing if it is whole."""
    if not records:
        return [
            Markdown(
                f"*There are no records of `studies/modalities/{study}.yaml` in this checkout; "
                f"`{command(study)}` makes them.*"
            )
        ]
    planned = load_modality_study(study)
    runs = len(planned.arms) * len(planned.seeds)
    sentence = (
        f"*{len(records)} of {runs} runs of this study are finished: what follows is of "
        "those, paired by seed where a pair is complete.*"
    )
    return [Markdown(sentence)] if len(records) < runs else []


def arms(study: str) -> Markdown:
    """What the arms of a study are, whether or not there are records: kinds, and what is set."""
    columns = headings("arm", "kind", "experts", "k", "hidden", "set") | {
        "kind": ("Perceptron of a block", ""),
        "experts": ("Experts", ".0f"),
        "hidden": ("Hidden units of each", "d"),
    }
    rows = []
    for name, arm in load_modality_study(study).arms.items():
        others = arm.model_dump(exclude={*columns}, exclude_defaults=True)
        others = listed(f"`{key}: {value}`" for key, value in others.items())
        own = arm.model_dump(include={*columns}) | {"kind": KINDS[arm.kind]}
        rows.append({"arm": name, **own, "set": others})
    return pages.table(pd.DataFrame(rows), columns)


def command(study: str) -> str:
    """What a reader types to make a study's records."""
    return f".venv/bin/python -m moelib.modalities {study}"


def source(records: Sequence[Record]) -> Markdown:
    """Which study and seeds are shown, where, links to the records, and the command."""
    first = records[0]
    study, file = first.numbers.study.name, first.kind
    if isinstance(first.numbers, NlvrNumbers):  # which has a record for each split
        file = f"{file}-{first.numbers.split}"
    links = pages.seed_links(records, f"modalities/{study}", file)
    return Markdown(
        f":::{{div}} source\nStudy `modalities/{study}`, {seeds_of(records)}. "
        f"{devices_of(records)}. Records `{file}.json` by seed: {links}. "
        f"Made by `{command(study)}`.\n:::"
    )


# -- charts ----------------------------------------------------------------------------------------


def _chart(
    name: str, record: Record, drawn: Sequence[Figure], caption: str, table: pd.DataFrame
) -> Markdown:
    """A figure of the study and kind of a record, with what is behind it."""
    study, task = record.numbers.study.name, record.kind.removeprefix("vlm-")
    evidence = (
        "[Records](modalities-tables.ipynb#all-arms) of "
        f"`notebooks/modalities_{task}.ipynb` · made by `{command(study)}`"
    )
    return pages.chart(f"{study}-{name}", drawn, caption, table, evidence)


def split_chart(records: Sequence[Trained]) -> Markdown:
    """Accuracy on truths, which every split asks for, of the arms that see words and pictures."""
    sighted = _sighted(records)
    table = tables.by_split(sighted or records)  # blind arms are far off, and in the tables
    claim = ""
    if sighted:
        seeds = table.groupby("arm")["seed"].transform("nunique")
        whole = table[seeds == seeds.max()]  # arms that lack seeds are only drawn
        means = whole.pivot_table("truths", "arm", "split", sort=False)
        lost = 100 * means.drop(columns="iid").rsub(means["iid"], axis=0)
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
    return _chart("splits", records[0], [figures.splits(table)], caption, table)


def gap_chart(records: Sequence[Trained]) -> Markdown:
    """The gap of all arms on held-out compositions."""
    sighted = _sighted(records)
    if not sighted:
        return Markdown("*No arm that sees words and pictures is trained yet.*")
    table = tables.gaps(sighted)
    judged = tables.judged(records, tables.MAIN)
    told = judged[judged["value"] == tables.gap]
    apart = ""
    if len(told):
        beyond = (told["verdict"] == CONTRADICTED).sum()
        apart = f"; in {beyond} of {len(told)} comparisons arms are shown to differ by a point"
    whole = table[table["seeds"] == table["seeds"].max()]
    caption = (
        f"**The gap is {plain(whole['value'].min())} to {plain(whole['value'].max())} points, by "
        f"arm{apart}.** Accuracy on truths of seen compositions minus that on held-out ones. {BARS}"
    )
    return _chart("gap", records[0], panels(table, "gap, points"), caption, table)


def _sighted(records: Sequence[Trained]) -> list[Trained]:
    """Those of arms that see words and pictures."""
    arms = records[0].numbers.study.arms
    return [r for r in records if getattr(arms[r.head], "sees", "both") == "both"]


def type_chart(records: Sequence[Utilized]) -> Markdown:
    """Real experts of each type of token, by arm."""
    wide = tables.experts_by_type(records).set_index("arm")
    spread = wide.max(axis=1) - wide.min(axis=1)
    table = wide[spread > SAME].reset_index()
    if table.empty:
        return Markdown("*No arm here gives some tokens more experts than others.*")
    uneven = wide.loc[spread.idxmax()]
    most, least = uneven.idxmax(), uneven.idxmin()
    caption = (
        f"**With *{uneven.name}* a token of the type *{most}* meets {plain(uneven[most])} "
        f"experts, and one of the type *{least}* {plain(uneven[least])}.** Experts that "
        "compute for a token, mean over layers and seeds: words by what they do in the sentence, "
        "patches by whether they show an object. The other arms give all tokens as many."
    )
    if most == "empty":  # patches without an object
        caption += " Empty patches get the most, which no question is about."
    return _chart("experts", records[0], [figures.experts_by_type(table)], caption, table)


def sparsity_chart(records: Sequence[Trained]) -> Markdown:
    """Accuracy and gap over the share of experts that a token meets."""
    table = tables.sparsity(records)
    if table.empty:
        return Markdown("*No arm of either family is trained yet.*")
    sizes = table.groupby("arm").size()
    claim = (
        f"**{(sizes == 1).sum()} of {len(sizes)} arms have one seed so far: between arms of other "
        "seeds the lines say little.**"
    )
    if sizes.min() > 1:
        means = table.groupby(["family", "share"], sort=False)["accuracy"].mean()
        best = means.groupby("family", sort=False).idxmax()
        shares = listed(f"{Fraction(share)} with {family}" for family, share in best)
        claim = f"**Accuracy on *iid* is highest at k/E = {shares}.**"
    caption = f"{claim} Mean over seeds (line), and each seed."
    return _chart("share", records[0], figures.sparsity(table), caption, table)


def load_chart(record: Utilized) -> Markdown:
    """Which experts words and patches of a run choose in each layer."""
    table = tables.loads(record)
    most = table.loc[table["load"].idxmax()]
    caption = (
        f"**In layer {most['layer']} expert {most['expert']} gets {most['load']:.0%} of the "
        f"choices of {most['modality']} tokens.** Share of a modality's choices that fall on each "
        f"expert; dashed: an even share. `{record.head}` in `modalities/{record.numbers.study.name}"
        f"`, seed {record.seed}."
    )
    name = f"loads-{record.head}-{record.seed}"
    return _chart(name, record, figures.loads(table), caption, table)


# -- hypotheses ------------------------------------------------------------------------------------


def verdicts(judged: pd.DataFrame) -> Markdown:
    """The comparisons of a family: difference, what was expected, and the verdict."""
    rows = [*judged.itertuples()]
    table = judged.assign(
        what=[f"{row.statement}: `{row.arm}` minus `{row.baseline}`" for row in rows],
        points=[with_interval(row.estimate, row, in_points) for row in rows],
        verdict=judged["verdict"].map(pages.verdict),
    )
    columns = headings("name", "what", "seeds", "points", "expected", "verdict", "adjusted")
    return pages.table(table, columns)


def devices(records: Sequence[Trained], family: Sequence[Comparison]) -> Markdown:
    """How many of the pairs of a family are of two devices."""
    return Markdown(across_devices(tables.pairs(records, family)))


def answer(judged: pd.DataFrame) -> str:
    """How the expectations of a family fared, in a sentence."""
    names = {fate: judged["name"][judged["verdict"] == fate] for fate in FATES}
    words = "; ".join(f"{FATES[fate]}: {listed(some)}" for fate, some in names.items() if len(some))
    return f"**{words[0].upper()}{words[1:]}.**"


def allocation(judged: pd.DataFrame) -> str:
    """The answer to whether dynamic allocation helps composition, in the words of the numbers."""
    both = judged[judged["name"].isin(["H1", "H2"])]
    if len(both) < 2:
        return "*Too few runs are finished to say.*"
    top_2, shuffled = (
        f"{plain(100 * abs(value))} points {'smaller' if value < 0 else 'larger'}"
        for value in both["estimate"]
    )
    facts = (
        f"the gap on held-out compositions with learned slots is {top_2} than that of top-2, "
        f"and {shuffled} than that of shuffled importance"
    )
    if INCONCLUSIVE in {*both["verdict"]}:
        seeds, planned = both["seeds"].min(), load_modality_study("main").seeds
        which = f"{seeds} seeds" + (", all that were planned," if seeds == len(planned) else "")
        return f"**{which} do not decide it**: {facts}.{_resolution(both)}"
    # By more than a point.
    helps = ((both["verdict"] == CONTRADICTED) & (both["estimate"] < 0)).all()
    return f"**Here it {'does' if helps else 'does not'}**: {facts}."


def _resolution(judged: pd.DataFrame) -> str:
    """Which difference these seeds could have told, and how many would tell one of a point."""
    widest = judged.loc[judged["deviation"].fillna(0.0).idxmax()]
    spread, count = widest["deviation"], widest["seeds"]
    if not spread > 0:
        return ""
    level = LEVEL / len(tables.MAIN)
    seeds = needed_seeds(tables.POINT, spread, level) or f"more than {MOST_SEEDS:,}"
    return (
        f" With their scatter {count} seeds show differences of "
        f"{plain(100 * detectable_effect(spread, count, level))} points or more; one of a point "
        f"would take {seeds} seeds."
    )


# -- tables ----------------------------------------------------------------------------------------


def accuracies(records: Sequence[Trained]) -> Markdown:
    """Parameters and accuracy on each split, mean over seeds."""
    rows = [
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
    ]
    columns = headings("arm", "total", "active")
    columns |= {split: (split, ".1%") for split in records[0].numbers.tests}
    columns |= headings("consistency", "entailed", "gap") | {"consistency": ("All four", ".1%")}
    return pages.table(_means(rows), columns)


def forms(records: Sequence[Trained]) -> Markdown:
    """Accuracy on iid by form of question, mean over seeds."""
    table = _means([{"arm": r.head, **r.numbers.tests["iid"].forms} for r in records])
    return pages.table(table, headings("arm") | {name: (name, ".1%") for name in table.columns[1:]})


def human(records: Sequence[Record[NlvrNumbers]]) -> Markdown:
    """Accuracy and consistency on a split of NLVR, mean over seeds, beside the more frequent label.

    Above the table stands whether any arm beats that label by two points, as was not expected.
    """
    split = records[0].numbers.split
    columns = headings(
        *("arm", "split", "seeds"),
        *("accuracy", "majority", "consistency", "said_true", "unknown_words"),
    ) | {"split": ("Split", "")}
    measures = {*columns} - {"arm", "split", "seeds"}
    rows = [{"arm": r.head, **r.numbers.model_dump(include=measures)} for r in records]
    runs = pd.DataFrame(rows).groupby("arm", sort=False)
    table = runs.mean().assign(seeds=runs.size(), split=split).reset_index()
    above = 100 * (table["accuracy"] - table["majority"])
    best = above.idxmax()
    expected = above[best] < 2
    sentence = (
        f"**{'As' if expected else 'Otherwise than'} expected, {'no' if expected else 'an'} arm is "
        f"two points above the more frequent label on {split}**: the best, {table['arm'][best]}, "
        f"is {plain(abs(above[best]))} points {'above' if above[best] > 0 else 'below'} it."
    )
    return Markdown(f"{sentence}\n\n{pages.table(table, columns).data}")


def _means(rows: Sequence[dict]) -> pd.DataFrame:
    """Mean over the runs of each arm."""
    return pd.DataFrame(rows).groupby("arm", sort=False).mean().reset_index()
