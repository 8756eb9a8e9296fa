"""What the chapters on routing between modalities show: answers, charts and tables of records."""

import math
from collections.abc import Sequence
from fractions import Fraction

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure

from moelib.modalities.report import figures, tables
from moelib.modalities.report.tables import Trained, Utilized
from moelib.records.modalities import NlvrNumbers
from moelib.records.record import Record
from moelib.report import pages
from moelib.report.forest import panels
from moelib.report.headings import headings
from moelib.report.statistics.hypotheses import CONTRADICTED
from moelib.report.wording import (
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
SOURCES = {  # where the records of a chart are listed by seed: study and kind
    ("main", "vlm-train"): "modalities-tables.ipynb#how-well-they-answer",
    ("main", "vlm-utilization"): "modalities-tables.ipynb#how-far-experts-specialise",
    ("sparsity", "vlm-train"): "modalities-sparsity.ipynb#two-families-and-five-comparisons",
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


def grounding(study: str) -> list[Markdown]:
    """That training also tells patches what they show, if it does: no result goes without it."""
    weight = load_modality_study(study).grounding
    if not weight:
        return []
    return [
        Markdown(
            "**Training also tells the patches what they show.** In every arm that sees words and "
            "pictures each patch has to say, before the last block, which descriptions of its "
            f"sentence it fits: a *grounding loss* of weight {weight:g} beside that of the answer. "
            f"Without it, says `studies/modalities/{study}.yaml`, the model stayed near chance for "
            "as many steps."
        )
    ]


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
            f"(lowest {plain(low)}, highest {plain(high)}).** "
        )
    caption = (
        f"{claim}Accuracy on the truths of each split: mean over seeds (large), each seed (faint), "
        "and guessing (dashed)."
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
    alone = "; hollow: one seed" if (table["seeds"] == 1).any() else ""
    caption = (
        f"**The gap is {plain(whole['value'].min())} to {plain(whole['value'].max())} points, by "
        f"arm{apart}.** Mean and 95% t-interval over seeds; faint: each seed{alone}."
    )
    return _chart("gap", records[0], panels(table, "gap, points"), caption, table)


def composing(records: Sequence[Trained]) -> list[Markdown]:
    """What the gaps lie between: truths of seen and of held-out compositions, by arm."""
    sighted = _sighted(records)
    if not sighted:
        return []
    table = tables.composing(sighted)
    points = 100 * (table.set_index("arm")[["iid", "compositions"]] - tables.CHANCE)
    (low, high), (seen_low, seen_high) = (
        (points[split].min(), points[split].max()) for split in ("compositions", "iid")
    )
    sentence = (
        f"**On held-out compositions the arms are {plain(low)} to {plain(high)} points above "
        f"guessing, on seen ones {plain(seen_low)} to {plain(seen_high)}**: the latter is the "
        "largest gap that an arm could have."
    )
    others = [
        right
        for record in sighted
        for form, right in record.numbers.tests["iid"].forms.items()
        if form not in tables.TRUTHS
    ]
    if others:
        least = math.floor(1000 * min(others)) / 10
        share = "all" if least == 100 else f"at least {least:.1f}%"
        sentence += f" Of counts and queries of *iid* {share} are right in every run."
    columns = headings("arm", "seeds")
    columns |= {split: (f"{split}, truths", ".1%") for split in points}
    return [Markdown(sentence), pages.table(table, columns)]


def _sighted(records: Sequence[Trained]) -> list[Trained]:
    """Those of arms that see words and pictures."""
    return [r for r in records if getattr(r.numbers.study.arms[r.head], "sees", "both") == "both"]


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
        f"experts, and one of the type *{least}* {plain(uneven[least])}.** Experts that compute "
        "for a token, mean over layers: of all seeds (large) and of each (faint). Words by what "
        "they do in the sentence, patches by whether they show an object. The other arms give all "
        "tokens as many."
    )
    runs = tables.experts_by_run(records)
    drawn = [figures.experts_by_type(runs[runs["arm"].isin(table["arm"])])]
    return _chart("experts", records[0], drawn, caption, table)


def favoured(records: Sequence[Utilized]) -> list[Markdown]:
    """Which tokens learned slots favour in every seed, if it is empty patches, and what follows."""
    records = [record for record in records if record.head == "slots"]
    if not records:
        return []
    runs = tables.experts_by_run(records).drop(columns="arm")
    if not (runs.idxmax(axis=1) == "empty").all():
        return []
    aim = load_modality_study("main").arms["slots"].k
    others = runs.drop(columns="empty")
    sentences = [
        f"**Learned slots do the opposite, in {len(runs)} of {len(runs)} seeds**: patches that "
        "show nothing, and that no question is about, get the most, "
        f"{plain(runs['empty'].min())} to {plain(runs['empty'].max())} experts. All other types "
        f"get {plain(others.min(axis=None))} to {plain(others.max(axis=None))}."
    ]
    if others.max(axis=None) < aim:
        sentences.append(
            f"The loss of the budget asks for a mean of {aim} over all tokens and not for who gets "
            "them: the empty patches get what the others do without. So H1 and H2 do not test "
            "*more* experts for the tokens of a question: these have fewer than with *top-2* or "
            "*slots-shuffled*."
        )
    return [Markdown(" ".join(sentences))]


def guidance(records: Sequence[Trained], used: Sequence[Utilized]) -> list[Markdown]:
    """What the parts of the soft guidance change, beside all of it: numbers, and no verdict."""
    baseline = "guided"
    table = tables.beside(records, baseline)
    if table.empty:
        return []
    for name in ("iid", "gap"):
        table[name] = [with_interval(part.estimate, part, in_points) for part in table[name]]
    columns = headings("arm", "seeds")
    columns["iid"] = (f"{tables.MEASURES[tables.iid].capitalize()}, points", "")
    columns["gap"] = ("Gap, points", "")
    text = f"Mean difference from `{baseline}` over paired seeds, with its 95 % interval."
    if used:
        routing = tables.routing_summary(used).set_index("arm")["specialisation"]
        table["specialisation"] = table["arm"].map(routing)
        columns |= headings("specialisation")
        most, least = routing.idxmax(), routing.idxmin()
        text += (
            f" Specialisation is highest with *{most}* ({plain(routing[most])}) and lowest with "
            f"*{least}* ({plain(routing[least])})"
        )
        between = baseline in routing.drop([most, least], errors="ignore")
        text += f"; *{baseline}* has {plain(routing[baseline])}." if between else "."
    return [Markdown(text), pages.table(table, columns)]


def sparsity_chart(records: Sequence[Trained]) -> Markdown:
    """Accuracy and gap over the share of experts that a token meets."""
    table = tables.sparsity(records)
    if table.empty:
        return Markdown("*No arm of either family is trained yet.*")
    sizes = table.groupby("arm").size()
    claim = (
        f"**{(sizes == 1).sum()} of {len(sizes)} arms have one seed so far (hollow): do not "
        "compare such a one with its neighbours, since seeds differ as much.**"
    )
    if sizes.min() > 1:
        means = table.groupby(["family", "share"], sort=False)["accuracy"].mean()
        best = means.groupby("family", sort=False).idxmax()
        shares = listed(f"{Fraction(share)} with {family}" for family, share in best)
        claim = f"**Accuracy on *iid* is highest at k/E = {shares}.**"
    caption = f"{claim} Mean over seeds (line), and each seed (faint)."
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
            "entailed": record.numbers.entailed or math.nan,
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
    """Mean over the runs of each arm, and how many there are."""
    runs = pd.DataFrame(rows).groupby("arm", sort=False)
    return runs.mean().assign(seeds=runs.size()).reset_index()
