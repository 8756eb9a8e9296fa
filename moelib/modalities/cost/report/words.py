"""What the chapters on costs show: tables and sentences of records, each with its source."""

from collections.abc import Callable, Sequence
from fractions import Fraction

import pandas as pd
from IPython.display import Markdown

from moelib.modalities.cost.report import figures, published, tables, traffic
from moelib.modalities.cost.report.published import ANSWER, DATA_SHEET
from moelib.modalities.cost.report.verdicts import ACTIVE, DENSE_7B, UNIFORM
from moelib.records.cost import CostNumbers, Peaks, TrafficNumbers
from moelib.records.freshness import costs_code
from moelib.records.modalities import ModalityUtilizationNumbers
from moelib.records.record import Record
from moelib.report import loading, pages
from moelib.report.headings import headings
from moelib.report.wording import devices_of, listed

FOLDER = "cost"
MIXTURES = ("DeepSeekMoE-16B", "OLMoE-1B-7B", "Qwen3-30B-A3B")
DENSE = (DENSE_7B, "Vicuna-13B")
FOLDED = 6  # rows, above which a table opens by its heading
NOT_MEASURED = "*Not measured there.*"
NOTHING = "No record of `{script}` is in this checkout."


def costs() -> list[Record[CostNumbers]]:
    """Records of times at true shapes, those of GPUs first."""
    return sorted(loading.of_scripts(FOLDER, CostNumbers, "cost.*.json").values(), key=_on_cpu)


def gpu() -> Record[CostNumbers] | None:
    """The first record of a GPU, if there is one."""
    return next((record for record in costs() if not _on_cpu(record)), None)


def traffics() -> list[Record[TrafficNumbers]]:
    """Records of traffic."""
    return [*loading.of_scripts(FOLDER, TrafficNumbers, "traffic.*.json").values()]


def _on_cpu(record: Record) -> bool:
    return record.provenance.device == record.provenance.cpu


def source(record: Record) -> Markdown:
    """Where a record was made, and by which command."""
    code = costs_code() if record.kind == CostNumbers.kind else ""
    return pages.script_source(_script(record), [record], devices_of([record]), _link(record), code)


def _script(record: Record) -> str:
    return f"modalities_{record.kind}"


def _link(record: Record) -> str:
    return pages.record_link(FOLDER, f"{record.kind}.{record.provenance.slug}.json")


def _evidence(record: Record) -> str:
    """As `source`, in the line under a figure."""
    command = f".venv/bin/python benchmarks/{_script(record)}.py"
    return f"{_link(record)} of {devices_of([record])} · made by `{command}`"


def decoding_chart(record: Record[CostNumbers]) -> Markdown:
    """Times of a decoding step over batches, of every published shape, and their bounds."""
    table = tables.decoding(record)
    if table.empty:
        return Markdown(NOT_MEASURED)
    counts = []
    for batch, points in table.groupby("batch"):
        mixtures = points["whole_ms"][points["mixture"]]
        dense = points["whole_ms"][points["shape"] == DENSE_7B]
        if len(mixtures) and len(dense):
            faster = (mixtures < dense.item()).sum()
            counts.append(f"{faster} of {len(mixtures)} at batch {batch}")
    ends = listed(dict.fromkeys(counts[:1] + counts[-1:]))
    claim = f"**Mixtures that decode faster than {DENSE_7B}: {ends}.** " if ends else ""
    caption = (
        f"{claim}One decoding step over sequences at once, of mixtures (squares) and dense models "
        "(circles): median (line), quartiles (a band, often narrower than the line), and the least "
        "time that the machine's rates allow (dashed)."
    )
    drawn = [figures.decoding(table)]
    return pages.chart("decoding", drawn, caption, table, _evidence(record))


def executor_chart(record: Record[CostNumbers]) -> Markdown:
    """Times of the experts by each executor, beside a dense perceptron of equal active size."""
    table = tables.ratios(record, "executors", ACTIVE)
    even = table[table["arm"].str.endswith(", uniform")]
    if even.empty:
        return Markdown(NOT_MEASURED)
    most = even[even["per_expert"] == even["per_expert"].max()].sort_values("ratio")
    times = zip(most["arm"], most["ratio"], strict=True)
    parts = listed(f"{arm.split(',')[0]} {value:.1f} times" for arm, value in times)
    caption = (
        f"**With {even['per_expert'].max():g} tokens per expert: {parts}.** Time of the experts, "
        "times a dense perceptron of equal active size: median (line), quartiles (a band). Dashed: "
        "1, and E/k = 8, the price of all experts at the rate of the dense perceptron; dotted: 256 "
        "tokens per expert."
    )
    drawn = [figures.executors(table)]
    return pages.chart("executors", drawn, caption, table, _evidence(record))


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
    measured = table["measured"].all()
    made = _evidence(record) if measured else "A bound by data sheet, no record"
    return pages.chart("published-front", figures.front(table), caption, table, made)


def circumstances(record: Record[CostNumbers]) -> Markdown:
    """What of a record is modelled, what did not run, and what the machine could do and did."""
    numbers, table = record.numbers, tables.cells(record)
    rate = max(numbers.peaks.gigabytes, numbers.peaks.read_gigabytes)
    beyond, modelled = (table["of_bound"] > 1).sum(), table["modelled"].sum()
    failed = [cell for cell in numbers.cells if cell.fault]
    reasons = listed(sorted({f"{cell.arm} ({cell.fault})" for cell in failed}))
    errors = [check.error for check in numbers.checks]
    sentences = [
        f"**{record.provenance.device}**: {len(table)} ways were timed, {table['graphed'].sum()} "
        "of them as one CUDA graph. A probe in the same run reached "
        f"{numbers.peaks.teraflops:.3g} TFLOP/s and {rate:.4g} GB/s.",
        f"{beyond} ways were faster than these rates allow: the probe missed the best."
        if beyond
        else "",
        f"{modelled} of the ways ran fewer layers than their model has: **whole models are "
        "modelled**, as many times a layer, without the unembedding."
        if modelled
        else "",
        additivity(table),
        f"Beside it ran: {numbers.beside}." if numbers.beside else "",
        "" if numbers.whole else "Its time was up before the plan was done.",
        f"{len(failed)} failed or fell back: {reasons}." if failed else "",
        "Not every executor ran in the check before."
        if None in errors
        else f"Before, executors agreed with float32 within {max(errors):.2g} of its norm.",
    ]
    return Markdown(" ".join(filter(None, sentences)))


def additivity(cells: pd.DataFrame) -> str:
    """Whether a model takes the time of its layers, where several depths were run."""
    parts = []
    deep = cells[cells["panel"] == "additivity"]
    for (mode, shape), arms in deep.groupby(["mode", "shape"]):
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
    parts = []
    for batch in sorted({*table["batch"].agg(["min", "max"])}):
        times = 1 / table[table["batch"] == batch].set_index("shape")["of_bound"]
        mixtures, dense = (times[times.index.isin(names)] for names in (MIXTURES, DENSE))
        if len(mixtures) and len(dense):
            parts.append(
                f"at batch {batch} the mixtures take {extent(mixtures)} times their bound, the "
                f"dense models of 7B and 13B {extent(dense)} times"
            )
    return Markdown(f"A dashed line is the bound: {'; '.join(parts)}." if parts else "")


def extent(values: pd.Series, number: Callable[[float], str] = "{:.1f}".format) -> str:
    """From where to where values lie."""
    return f"{number(values.min())} to {number(values.max())}"


def kinds(record: Record[CostNumbers], longest: int = FOLDED) -> Markdown:
    """Times of every kind of perceptron in OLMoE, times ordinary top-8 with uniform routing."""
    table = tables.ratios(record, "kinds", UNIFORM)
    sizes = [
        f"{'experts' if row.part == 'mlp' else 'model'}, {row.mode}, {row.batch}"
        for row in table.itertuples()
    ]
    return _by_size(table, sizes, {"arm": ("Kind and trace", "")}, longest)


def family(record: Record[CostNumbers]) -> list[Markdown]:
    """Times of k of E experts of one total width, times the dense perceptron of that width.

    With a sentence on how far they are from the ideal share k/E.
    """
    reference = "OLMoE, dense, equal total"
    table = tables.ratios(record, "family", reference)
    table = table[table["arm"] != reference]
    share = [float(Fraction(arm.replace(" of ", "/"))) for arm in table["arm"]]
    sizes = [
        f"{row.mode}, {row.tokens} token{'s' if row.tokens > 1 else ''}"
        for row in table.itertuples()
    ]
    table = table.assign(share=share, size=sizes)
    columns = {"arm": ("Experts", "")} | headings("share")
    shown = _by_size(table, sizes, columns)
    return [Markdown(_beside_ideal(table, record.numbers.whole)), shown] if len(table) else [shown]


def _beside_ideal(family: pd.DataFrame, whole: bool) -> str:
    """How many times their ideal share of time fewer experts take, and all of them."""
    sparse, full = family[family["share"] < 1], family[family["share"] == 1]["ratio"]
    of_ideal = [
        (extent(rows["ratio"] / rows["share"]), size)
        for size, rows in sparse.groupby("size", sort=False)
    ]
    sentences = []
    if of_ideal:
        (times, size), *others = of_ideal
        more = "".join(f", {times} times ({size})" for times, size in others)
        sentences.append(
            f"**Fewer experts take {times} times their ideal share k/E of the time ({size})"
            f"{more}.**"
        )
    if len(full):
        sentences.append(
            "All experts together compute what the dense perceptron does, in pieces, and take "
            f"{extent(full)} times its time."
        )
    if family.groupby("arm")["size"].nunique().nunique() > 1:
        why = "" if whole else ": the time of the run was up"
        sentences.append(f"A dash was not measured{why}.")
    return " ".join(sentences)


def _by_size(
    ratios: pd.DataFrame,
    sizes: Sequence[str],
    columns: dict[str, tuple[str, str]],
    longest: int = FOLDED,
) -> Markdown:
    """A row for each arm, which `columns` are of, and a column of ratios for each size."""
    if ratios.empty:
        return Markdown(NOT_MEASURED)
    wide = ratios.assign(size=sizes).pivot_table("ratio", [*columns], "size", sort=False)
    columns = columns | {size: (size, ".2f") for size in wide}
    return pages.table(wide.reset_index(), columns, longest)


def between_devices(record: Record[TrafficNumbers]) -> Markdown:
    """Traffic of each routing on two devices, experts placed by modality."""
    table = traffic.modelled(record, DATA_SHEET.teraflops)
    table = table[(table["devices"] == 2) & (table["placement"] == "by modality")]
    columns = headings("source", "homes", "leaving", "away", "megabytes", "imbalance", "compute_ms")
    columns["leaving"] = ("Tokens that leave", ".1%")
    columns |= {link: (f"{link}, ms", "rounded") for link in traffic.LINKS}
    return pages.table(table, columns, FOLDED)


def trained(records: Sequence[Record[ModalityUtilizationNumbers]]) -> Markdown:
    """Traffic of trained routers on several devices, modelled from their loads."""
    if not records:
        return Markdown("*No trained router's utilization is in this checkout.*")
    columns = headings(
        *("arm", "devices", "seeds"),
        *("away", "chance", "away_words", "away_patches", "leaving", "imbalance"),
    )
    return pages.table(traffic.trained(records), columns, FOLDED)


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
    sizes = ["model", "billions", "active", "ms", "bound_ms"]
    rows = table.pivot_table("score", sizes, "task", sort=False).reset_index()
    columns = headings("model", "billions", "active", "GQA", "MMBench", "ms", "bound_ms")
    columns["active"] = ("active", ".1f")
    columns["ms"] = (f"ms an answer of {ANSWER} tokens, measured", "rounded")
    if not table["measured"].all():
        del columns["ms"]
    return pages.table(rows, columns, FOLDED)


def front_times(table: pd.DataFrame, record: Record[CostNumbers] | None) -> str:
    """Where the times and bounds of the front come from."""
    if not table["measured"].all():
        return f"**Times are bounds, not measurements**: an H100 at {_rates(DATA_SHEET)}."
    return (
        f"Times were measured on {record.provenance.device}, with random weights. A bound is the "
        f"least time by the rates that were measured there, {_rates(record.numbers.peaks)}."
    )


def _rates(peaks: Peaks) -> str:
    memory = max(peaks.gigabytes, peaks.read_gigabytes)
    return f"{peaks.teraflops:.0f} TFLOP/s and {memory / 1e3:.2f} TB/s"
