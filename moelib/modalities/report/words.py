"""What the chapters on routing between modalities show: answers, charts and tables of records."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure

from moelib.modalities.report import figures, tables
from moelib.modalities.report.tables import Trained, Utilized
from moelib.records.modalities import NlvrNumbers
from moelib.records.record import Record
from moelib.report import pages
from moelib.report.forest import key, panels
from moelib.report.headings import headings
from moelib.report.wording import (
    devices_of,
    enumeration,
    extent,
    in_points,
    listed,
    plain,
    seeds_in_words,
    seeds_of,
    with_interval,
)
from moelib.study.modalities import load_modality_study

KINDS = {  # of perceptrons
    "dense": "one perceptron for all tokens",
    "top_k": "the k experts with the largest gates",
    "hard": "the k experts of the token's modality with the largest gates",
    "guided": "the k experts with the largest gates; a loss assigns groups of them to modalities",
    "slots": "as many experts as the token's importance asks for, on average k",
}
SOURCES = {  # where the records of a chart are listed by seed: study and kind
    ("main", "vlm-train"): "modalities-tables.ipynb#how-well-they-answer",
    ("main", "vlm-utilization"): "modalities-tables.ipynb#how-far-experts-specialise",
    ("sparsity", "vlm-train"): "modalities-tables.ipynb#sparsity",
}
SAME = 0.01  # experts per token, up to which two types of tokens get as many


def missing(study: str, records: Sequence[Record]) -> list[Markdown]:
    """Say plainly that a study has no records or lacks runs; nothing if it is whole."""
    planned = load_modality_study(study)
    runs = len(planned.arms) * len(planned.seeds)
    if len(records) == runs:
        return []
    text = (
        f"This study has finished {len(records)} of {runs} runs. What follows uses only these, "
        "paired by seed where both runs of a pair are finished."
        if records
        else f"There are no records of `studies/modalities/{study}.yaml` in this checkout; "
        f"`{command(study)}` makes them."
    )
    return [Markdown(f"*{text}*")]


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
    link = SOURCES.get((study, record.kind), "modalities-tables.ipynb")
    evidence = (
        f"[Records]({link}) of `notebooks/modalities_{task}.ipynb` · made by `{command(study)}`"
    )
    return pages.chart(f"{study}-{name}", drawn, caption, table, evidence)


def split_chart(records: Sequence[Trained]) -> Markdown:
    """Accuracy on truths, which every split asks for, of arms that see words and pictures."""
    table = tables.by_split(records)
    seeds = table.groupby("arm")["seed"].transform("nunique")
    whole = table[seeds == seeds.max()]  # arms that lack seeds are only drawn
    means = whole.pivot_table("truths", "arm", "split", sort=False)
    lost = 100 * means.drop(columns="iid").rsub(means["iid"], axis=0)
    hardest = lost.mean().idxmax()
    most = (lost.idxmax(axis=1) == hardest).sum()
    caption = (
        f"**Of the held-out splits, *{hardest}* costs most on average over arms, "
        f"{plain(lost[hardest].mean())} points of accuracy ({extent(lost[hardest])}), and most of "
        f"all in {most} of {len(lost)} arms.** Accuracy on the truths of each split: mean over "
        f"seeds (large), each seed (faint) and guessing (dashed).{_harder_forms(records)}"
    )
    return _chart("splits", records[0], [figures.splits(table)], caption, table)


def _harder_forms(records: Sequence[Trained]) -> str:
    """What *depth* costs beside sentences of its own form, since *iid* has easier ones, too."""
    form = tables.TRUTHS[-1]
    forms = [(r.numbers.tests["iid"].forms, r.numbers.tests.get("depth")) for r in records]
    if not all(depth and form in seen and {form} == {*depth.forms} for seen, depth in forms):
        return ""
    lost = [100 * (seen[form] - depth.forms[form]) for seen, depth in forms]
    return (
        f" *depth* asks *{form}* sentences alone, half of the truths of *iid*: relative to "
        f"those, it costs {plain(sum(lost) / len(lost))} points."
    )


def gap_chart(records: Sequence[Trained]) -> Markdown:
    """The gap on held-out compositions of arms that see words and pictures, and its bounds."""
    table = tables.gaps(records)
    whole = table["value"][table["seeds"] == table["seeds"].max()]
    truths = tables.by_split(records).groupby(["split", "arm"])["truths"].mean()
    above = {
        split: extent(100 * (truths[split] - tables.CHANCE)) for split in ("iid", "compositions")
    }
    caption = (
        f"**By arm, the gap is {extent(whole)} points.** On held-out compositions arms are "
        f"{above['compositions']} points above guessing; on seen ones {above['iid']}, which is the "
        f"largest gap that an arm could have. {key(table)}"
    )
    return _chart("gap", records[0], panels(table, "gap, points"), caption, table)


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
        f"**With *{uneven.name}*, a token of type *{most}* meets {plain(uneven[most])} experts, "
        f"and one of type *{least}* {plain(uneven[least])}.** Experts that compute for a "
        "token: mean over layers, for all seeds (large) and each seed (faint). Words are typed by "
        "their role in the sentence; a patch shows an *object* or is *empty*. The other arms give "
        "all tokens the same number."
    )
    runs = tables.experts_by_run(records)
    drawn = [figures.experts_by_type(runs[runs["arm"].isin(table["arm"])])]
    return _chart("experts", records[0], drawn, caption, table)


def favoured(records: Sequence[Utilized]) -> list[Markdown]:
    """That learned slots favour empty patches at the cost of all others, if each seed does so."""
    records = [record for record in records if record.head == "slots"]
    if not records:
        return []
    runs = tables.experts_by_run(records).set_index("arm")
    empty, others = runs["empty"], runs.drop(columns="empty")
    aim = records[0].numbers.study.arms["slots"].k
    if not (others.lt(aim, axis=0).all(axis=None) and (empty > aim).all()):
        return []
    return [
        Markdown(
            f"**Learned slots do the opposite in every seed ({seeds_of(records)}).** Patches that "
            f"show nothing get {extent(empty)} experts, all other tokens {extent(others.stack())}. "
            f"The loss of the budget asks for a mean of {aim} over all tokens, no matter which get "
            "more. So H1 and H2 do not test *more* experts for the tokens of a question: these "
            "have fewer than with *top-2* or *slots-shuffled*."
        )
    ]


def guidance(records: Sequence[Trained], used: Sequence[Utilized]) -> list[Markdown]:
    """What the parts of the soft guidance change, beside all of it: numbers, and no verdict."""
    baseline = "guided"
    table = pd.DataFrame()
    for measure in tables.MEASURES:
        means = tables.beside(records, baseline, measure)
        table[["arm", "seeds"]] = means[["head", "seeds"]]
        table[measure] = [
            with_interval(row.difference, row, in_points) for row in means.itertuples()
        ]
    if table.empty:
        return []
    columns = headings("arm", "seeds")
    columns |= {
        name: (f"{label.capitalize()}, points", "") for name, label in tables.MEASURES.items()
    }
    text = f"Mean difference from `{baseline}` over paired seeds, with its 95% interval."
    routing = tables.routing_summary(used).set_index("arm")["specialisation"]
    if baseline in routing:
        table["specialisation"] = table["arm"].map(routing)
        columns |= headings("specialisation")
        text += (
            f" Specialisation is highest with *{routing.idxmax()}* and lowest with "
            f"*{routing.idxmin()}*; *{baseline}* has {plain(routing[baseline])}."
        )
    return [Markdown(text), pages.table(table, columns)]


def rounding(records: Sequence[Trained], others: Sequence[Trained]) -> list[Markdown]:
    """How far runs of one model and seed are apart that two studies trained on unlike machines."""
    twins = tables.twins(records, others)
    if not twins[[*tables.MEASURES]].any(axis=None):  # none, or all the same
        return []
    names = enumeration(
        f"*{arm}* of `{study}`" for study, arm in dict.fromkeys([*twins["one"], *twins["two"]])
    )
    iid, gap = (extent(100 * twins[measure].abs()) for measure in tables.MEASURES)
    return [
        Markdown(
            f"**The same seed does not make the same net on another machine.** {names} are one "
            "model, with the same settings, code and seeds, trained on different processors or "
            f"versions of torch. The two differ by {iid} points on *iid* and by {gap} in the gap "
            f"({seeds_in_words(len(twins))}). Paired differences between arms have this scatter, "
            "too."
        )
    ]


def sparsity_chart(records: Sequence[Trained]) -> Markdown:
    """Accuracy and gap over the share of experts that a token meets."""
    table = tables.sparsity(records)
    alone = table.groupby("head").size() == 1
    if alone.any():
        claim = (
            f"Hollow arms ({alone.sum()} of {len(alone)}) have only one seed so far: do not "
            "compare them with their neighbours, since seeds differ by as much."
        )
    else:
        means = table.groupby(["family", "share"], sort=False)["iid"].mean()
        spans = 100 * means.groupby("family", sort=False).agg(np.ptp)
        parts = enumeration(f"{plain(span)} points with {family}" for family, span in spans.items())
        scatter = 100 * table.groupby("head")["iid"].agg(np.ptp).max()
        claim = (
            f"Over k/E, mean accuracy on *iid* varies by {parts}; seeds of one arm differ by up to "
            f"{plain(scatter)}."
        )
    caption = f"**{claim}** Mean over seeds (line) and each seed (faint)."
    return _chart("share", records[0], figures.sparsity(table), caption, table)


def load_chart(record: Utilized) -> Markdown:
    """Which experts words and patches of a run choose in each layer."""
    table = tables.loads(record)
    most = table.loc[table["load"].idxmax()]
    caption = (
        f"**In layer {most['layer']}, expert {most['expert']} gets {most['load']:.0%} of the "
        f"choices of {most['modality']} tokens.** Share of a modality's choices that fall on each "
        f"expert; dashed: an even share. `{record.head}` in `modalities/{record.numbers.study.name}"
        f"`, seed {record.seed}."
    )
    name = f"loads-{record.head}-{record.seed}"
    return _chart(name, record, figures.loads(table), caption, table)


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
            "gap": tables.gap(record),
        }
        for record in records
    ]
    columns = headings("arm", "seeds", "total", "active")
    columns |= {split: (split, ".1%") for split in records[0].numbers.tests}
    columns["iid"] = ("iid, all forms", ".1%")  # other tables have its truths alone
    columns |= headings("consistency", "gap") | {"consistency": ("All four", ".1%")}
    return pages.table(_means(rows), columns)


def forms(records: Sequence[Trained]) -> Markdown:
    """Accuracy on iid by form of question, and on what right answers entail, mean over seeds."""
    names = records[0].numbers.tests["iid"].forms
    rows = [
        {
            "arm": record.head,
            **record.numbers.tests["iid"].forms,
            "entailed": math.nan if (entailed := record.numbers.entailed) is None else entailed,
        }
        for record in records
    ]
    columns = headings("arm", "seeds") | {name: (name, ".1%") for name in names}
    return pages.table(_means(rows), columns | headings("entailed"))


def human(records: Sequence[Record[NlvrNumbers]]) -> Markdown:
    """Accuracy and consistency on a split of NLVR, mean over seeds, beside the more frequent label.

    Above the table stands whether any arm beats that label by two points, as was not expected.
    """
    split = records[0].numbers.split
    columns = headings(
        "arm", "seeds", "accuracy", "majority", "consistency", "said_true", "unknown_words"
    )
    table = _means([{"arm": r.head, **r.numbers.model_dump(include={*columns})} for r in records])
    above = 100 * (table["accuracy"] - table["majority"])
    best = above.idxmax()
    expected = above[best] < 2
    sentence = (
        f"**{'As expected, none' if expected else 'Contrary to expectation, one'} of the "
        f"{len(table)} arms with answers is two points above the more frequent label on {split}.** "
        f"The best, {table['arm'][best]} ({seeds_in_words(table['seeds'][best])}), is "
        f"{plain(abs(above[best]))} points {'above' if above[best] > 0 else 'below'} it."
    )
    return Markdown(f"{sentence}\n\n{pages.table(table, columns).data}")


def _means(rows: Sequence[dict]) -> pd.DataFrame:
    """Mean over the runs of each arm, and how many there are."""
    runs = pd.DataFrame(rows).groupby("arm", sort=False)
    return runs.mean().assign(seeds=runs.size()).reset_index()
