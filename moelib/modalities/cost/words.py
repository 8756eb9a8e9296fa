"""What the chapters on costs show: tables and sentences of records, each with its source."""

from collections.abc import Iterable

import pandas as pd
from IPython.display import Markdown

from moelib.modalities.cost import figures, published, tables
from moelib.modalities.cost.published import ANSWER, DATA_SHEET
from moelib.modalities.cost.traffic import LINKS
from moelib.modalities.cost.verdicts import ACTIVE, UNIFORM, judge
from moelib.records.cost import CostNumbers, TrafficNumbers
from moelib.records.freshness import costs_code
from moelib.records.modalities import ModalityUtilizationNumbers
from moelib.records.record import Record
from moelib.report import loading, pages
from moelib.report.headings import headings
from moelib.report.statistics.hypotheses import CONTRADICTED, INCONCLUSIVE, SUPPORTED
from moelib.report.wording import devices_of, enumeration, listed

FOLDER = "cost"
BADGES = {SUPPORTED: "success", CONTRADICTED: "danger", INCONCLUSIVE: "secondary"}
DENSE = ("Vicuna-7B", "Vicuna-13B")
FOLDED = 6  # rows, above which a table opens by its heading
NOT_MEASURED = "*Not measured there.*"
NOTHING = "No record of `{script}` is in this checkout."


def costs() -> dict[str, Record[CostNumbers]]:
    """Records of times at true shapes by file, those of GPUs first."""
    records = loading.of_scripts(FOLDER, CostNumbers, "cost.*.json")
    on_cpu = {file: r.provenance.device == r.provenance.cpu for file, r in records.items()}
    return dict(sorted(records.items(), key=lambda item: (on_cpu[item[0]], item[0])))


def foremost() -> dict[str, Record[CostNumbers]]:
    """The one record that chapters show, by its file: of a GPU, if one was measured."""
    return dict([*costs().items()][:1])


def traffics() -> dict[str, Record[TrafficNumbers]]:
    """Records of traffic by file."""
    return loading.of_scripts(FOLDER, TrafficNumbers, "traffic.*.json")


def gpu() -> Record[CostNumbers] | None:
    """The first record of a GPU, if there is one."""
    on_gpu = (r for r in costs().values() if r.provenance.device != r.provenance.cpu)
    return next(on_gpu, None)


def source(file: str, record: Record, script: str) -> Markdown:
    """Where a record was made, and by which command."""
    code = costs_code() if record.kind == CostNumbers.kind else ""
    link = pages.record_link(FOLDER, file)
    return pages.script_source(script, [record], devices_of([record]), link, code)


def evidence(file: str, record: Record, script: str) -> str:
    """The same in the line under a figure."""
    link, command = pages.record_link(FOLDER, file), f".venv/bin/python benchmarks/{script}.py"
    return f"{link} of {devices_of([record])} · made by `{command}`"


def decoding_chart(file: str, record: Record[CostNumbers], name: str = "decoding") -> Markdown:
    """Times of a decoding step over batches, of every published shape, and their bounds."""
    table = tables.decoding(tables.cells(record))
    if table.empty:
        return Markdown(NOT_MEASURED)
    mixtures = {shape.name for shape in record.numbers.shapes if shape.experts > 1}
    counts = {}
    for batch, points in table.groupby("batch"):
        times = points.set_index("shape")["whole_ms"]
        theirs = times[times.index.isin(mixtures)]
        if DENSE[0] in times and len(theirs):
            counts[batch] = f"{(theirs < times[DENSE[0]]).sum()} of {len(theirs)} at batch {batch}"
    ends = listed(dict.fromkeys([*counts.values()][:1] + [*counts.values()][-1:]))
    claim = f"**Mixtures that decode faster than {DENSE[0]}: {ends}.** " if ends else ""
    caption = (
        f"{claim}One decoding step over sequences at once: median (line), quartiles (band), and "
        "the least time that the machine's rates allow (dashed)."
    )
    drawn = [figures.decoding(table)]
    made = evidence(file, record, "modalities_cost")
    return pages.chart(name, drawn, caption, table, made)


def executor_chart(file: str, record: Record[CostNumbers], name: str = "executors") -> Markdown:
    """Times of the experts by each executor, beside a dense perceptron of equal active size."""
    table = tables.ratios(record, "executors", ACTIVE)
    even = table[table["arm"].str.endswith(", uniform")] if len(table) else table
    if even.empty:
        return Markdown(NOT_MEASURED)
    most = even[even["per_expert"] == even["per_expert"].max()].sort_values("ratio")
    times = zip(most["arm"], most["ratio"], strict=True)
    parts = listed(f"{arm.split(',')[0]} {value:.1f} times" for arm, value in times)
    caption = (
        f"**With {even['per_expert'].max():g} tokens per expert: {parts}.** Time of the "
        "experts by executor, times a dense perceptron of equal active size: "
        "medians (line), quartiles (band). Dashed: 1, and E/k = 8, what all experts would "
        "cost at the rate of the dense perceptron; dotted: 256 tokens per expert."
    )
    drawn = [figures.executors(table)]
    made = evidence(file, record, "modalities_cost")
    return pages.chart(name, drawn, caption, table, made)


def front_chart(table: pd.DataFrame, record: Record[CostNumbers] | None) -> Markdown:
    """Published scores over the time of an answer, measured in a record or bounded."""
    mixtures = table[table["kind"] == "mixture"].sort_values("score")
    orders = {tuple(points["model"]) for _, points in mixtures.groupby("task")}
    agree = "agree" if len(orders) == 1 else "do not agree"
    caption = (
        f"**The tasks {agree} on the order of the mixtures, and no score comes with an interval.** "
        "Scores that others published, over the time of an answer of 16 tokens at the published "
        "shapes."
    )
    made = "A bound by data sheet, no record"
    for file, costs_record in costs().items() if table["measured"].all() else ():
        if costs_record.provenance == record.provenance:
            made = evidence(file, record, "modalities_cost")
    return pages.chart("published-front", figures.front(table), caption, table, made)


def verdicts(records: Iterable[Record[CostNumbers]]) -> Markdown:
    """The predictions, and for each device what was found and the verdict as a coloured word."""
    table, columns = pd.DataFrame(), {}
    for record in records:
        judged, where = judge(record), record.provenance.device
        if table.empty:
            table = judged[["name", "statement", "criterion"]]
            columns = headings("name", "statement")
            columns |= headings("criterion")
        words = [pages.badge(word, BADGES[word]) for word in judged["verdict"]]
        cells = [f"{word} {text}" for word, text in zip(words, judged["evidence"], strict=True)]
        table, columns = table.assign(**{where: cells}), columns | {where: (where, "")}
    return pages.table(table, columns)


def answer(record: Record[CostNumbers]) -> str:
    """Which predictions a record supports and contradicts, in a sentence."""
    table = judge(record)
    verbs = {SUPPORTED: "supports", CONTRADICTED: "contradicts", INCONCLUSIVE: "leaves open"}
    parts = enumeration(
        f"{verb} {len(names)} ({listed(names)})"
        for word, verb in verbs.items()
        if len(names := table["name"][table["verdict"] == word])
    )
    return f"**Of {len(table)} predictions the {record.provenance.device} {parts}.**"


def circumstances(record: Record[CostNumbers]) -> Markdown:
    """What of a record is modelled, what did not run, and what the machine could do and did."""
    numbers = record.numbers
    table, failed = tables.cells(record), tables.faults(record)
    rate = max(numbers.peaks.gigabytes, numbers.peaks.read_gigabytes)
    sentences = [
        f"**{record.provenance.device}**: {len(table)} ways were timed, "
        f"{int(table['graphed'].sum())} of them as one CUDA graph. A probe in the same run reached "
        f"{numbers.peaks.teraflops:.3g} TFLOP/s and {rate:.4g} GB/s."
    ]
    beyond = int((table["of_bound"] > 1).sum())
    if beyond:
        sentences.append(
            f"{beyond} ways were faster than these rates allow: the probe missed the best."
        )
    modelled = int(table["modelled"].sum())
    if modelled:
        sentences.append(
            f"{modelled} of the ways ran fewer layers than their model has: **whole models are "
            "modelled**, as many times a layer, without the unembedding."
        )
    depth = additivity(record)
    if depth:
        sentences.append(depth)
    if numbers.beside:
        sentences.append(f"Beside it ran: {numbers.beside}.")
    if not numbers.whole:
        sentences.append("Its time was up before the plan was done.")
    if len(failed):
        reasons = listed(sorted({f"{row.arm} ({row.fault})" for row in failed.itertuples()}))
        sentences.append(f"{len(failed)} failed or fell back: {reasons}.")
    errors = [check.error for check in numbers.checks]
    if None in errors:
        sentences.append("Not every executor ran in the check before.")
    else:
        sentences.append(
            f"Before, executors agreed with float32 within {max(errors):.2g} of its norm."
        )
    return Markdown(" ".join(sentences))


def additivity(record: Record[CostNumbers]) -> str:
    """Whether a model takes the time of its layers, where several depths were run."""
    table = tables.cells(record)
    parts = []
    for (mode, shape), arms in table[table["panel"] == "additivity"].groupby(["mode", "shape"]):
        times = arms.set_index("layers")["ms"]
        most = times.index.max()
        if 1 in times.index and most > 1:
            ratio = times[most] / (most * times[1])
            parts.append(
                f"{most} layers of {shape} take {ratio:.2f} times {most} single ones ({mode})"
            )
    return f"Is a model the sum of its layers? {'; '.join(parts)}." if parts else ""


def distance(record: Record[CostNumbers]) -> Markdown:
    """How far decoding is from its bound, dense models beside mixtures, few and many at once."""
    table = tables.cells(record)
    table = table[(table["panel"] == "published") & (table["mode"] == "decode")]
    names = {"mixtures": ("DeepSeekMoE-16B", "OLMoE-1B-7B", "Qwen3-30B-A3B"), "dense": DENSE}
    parts = []
    for batch in sorted({*table["batch"].agg(["min", "max"])}):
        times = 1 / table[table["batch"] == batch].set_index("shape")["of_bound"]
        reached = {what: times[times.index.isin(shapes)] for what, shapes in names.items()}
        if any(part.empty for part in reached.values()):
            continue
        spans = {what: f"{part.min():.1f} to {part.max():.1f}" for what, part in reached.items()}
        parts.append(
            f"at batch {batch} the mixtures take {spans['mixtures']} times their bound, the dense "
            f"models of 7B and 13B {spans['dense']} times"
        )
    if not parts:
        return Markdown("")
    return Markdown(f"A dashed line is the bound: {'; '.join(parts)}.")


def kinds(record: Record[CostNumbers]) -> Markdown:
    """Times of every kind of perceptron in OLMoE, times ordinary top-8 with uniform routing."""
    table = tables.ratios(record, "kinds", UNIFORM)
    if table.empty:
        return Markdown(NOT_MEASURED)
    table["what"] = [
        f"{'experts' if row.part == 'mlp' else 'model'}, {row.mode}, {row.batch}"
        for row in table.itertuples()
    ]
    wide = table.pivot(index="arm", columns="what", values="ratio")
    order = list(dict.fromkeys(table["arm"]))
    wide = wide.loc[order, list(dict.fromkeys(table["what"]))].reset_index()
    columns = headings("arm") | {"arm": ("Kind and trace", "")}
    return pages.table(wide, columns | {what: (what, ".2f") for what in wide.columns[1:]}, FOLDED)


def family(record: Record[CostNumbers]) -> Markdown:
    """Milliseconds of k of E experts of one total width, times the dense perceptron."""
    reference = "OLMoE, dense, equal total"
    table = tables.ratios(record, "family", reference)
    if table.empty:
        return Markdown(NOT_MEASURED)
    table["what"] = [
        f"{row.mode}, {row.tokens} token{'s' if row.tokens > 1 else ''}"
        for row in table.itertuples()
    ]
    wide = table.pivot(index="arm", columns="what", values="ratio")
    wide = wide.loc[list(dict.fromkeys(table["arm"])), list(dict.fromkeys(table["what"]))]
    wide = wide.drop(index=reference).reset_index()
    k, experts = zip(*(map(int, arm.split(" of ")) for arm in wide["arm"]), strict=True)
    wide.insert(1, "share", [a / b for a, b in zip(k, experts, strict=True)])
    columns = headings("arm", "share") | {"arm": ("Experts", "")}
    return pages.table(wide, columns | {what: (what, ".2f") for what in wide.columns[2:]}, FOLDED)


def between_devices(record: Record[TrafficNumbers], teraflops: float) -> Markdown:
    """Traffic of each routing on two devices, experts placed by modality."""
    table = tables.traffic(record, teraflops)
    table = table[(table["devices"] == 2) & (table["placement"] == "by modality")]
    keys = ["source", "homes"]
    wide = table.pivot(index=keys, columns="link", values="link_ms")[[link.name for link in LINKS]]
    first = table.drop_duplicates(keys).set_index(keys)
    table = first[["leaving", "away", "megabytes", "imbalance", "compute_ms"]].join(wide)
    columns = headings("source", "homes", "leaving", "away", "megabytes", "imbalance", "compute_ms")
    columns["leaving"] = ("Tokens that leave", ".1%")
    columns |= {link.name: (f"{link.name}, ms", "rounded") for link in LINKS}
    return pages.table(table.reset_index(), columns, FOLDED)


def trained(records: Iterable[Record[ModalityUtilizationNumbers]]) -> Markdown:
    """Traffic of trained routers on several devices, modelled from their loads."""
    table = tables.trained_traffic(records)
    if table.empty:
        return Markdown("*No trained router's utilization is in this checkout.*")
    columns = headings(
        "arm",
        "devices",
        "seeds",
        "away",
        "chance",
        "away_words",
        "away_patches",
        "leaving",
        "imbalance",
    )
    return pages.table(table, columns, FOLDED)


def bounds() -> list[Markdown]:
    """Least milliseconds of published shapes by an H100's data sheet: nothing is measured."""
    table = published.bounds()
    sizes = headings("model", "billions", "active") | {"active": ("active", ".1f")}
    parts = []
    for mode, title in (("decode ", "A decoding step"), ("prefill ", "A prefill")):
        batches = [name for name in table if name.startswith(mode)]
        columns = sizes | {name: (name.removeprefix(mode), "rounded") for name in batches}
        parts.append(Markdown(f"**{title}**, ms, by sequences at once:"))
        parts.append(pages.table(table, columns, FOLDED))
    return parts


def front(table: pd.DataFrame) -> Markdown:
    """Published scores and times of an answer, a row per model."""
    wide = table.pivot(index="model", columns="task", values="score")
    first = table.drop_duplicates("model").set_index("model")
    rows = first[["billions", "active", "ms", "bound_ms"]].join(wide).reset_index()
    columns = headings("model", "billions", "active", "GQA", "MMBench", "ms", "bound_ms")
    columns["active"] = ("active", ".1f")
    columns["ms"] = (f"ms an answer of {ANSWER} tokens, measured", "rounded")
    if not table["measured"].all():
        del columns["ms"]
    return pages.table(rows, columns, FOLDED)


def data_sheet() -> str:
    """The rates of the bound, in words."""
    return f"{DATA_SHEET.teraflops:.0f} TFLOP/s and {DATA_SHEET.gigabytes / 1e3:.2f} TB/s"
