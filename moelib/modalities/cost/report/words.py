"""What the chapters on costs show: tables and sentences of records, each with its source."""

from collections.abc import Sequence
from fractions import Fraction

import pandas as pd
from IPython.display import Markdown

from moelib.modalities.cost.report import figures, published, tables, traffic
from moelib.modalities.cost.report.published import ANSWER
from moelib.modalities.cost.report.roofline import memory_rate
from moelib.modalities.cost.report.verdicts import ACTIVE, DENSE_7B, UNIFORM
from moelib.records.cost import CostNumbers, TrafficNumbers
from moelib.records.freshness import costs_code
from moelib.records.modalities import ModalityUtilizationNumbers
from moelib.records.record import Record
from moelib.report import loading, pages
from moelib.report.headings import headings
from moelib.report.wording import devices_of, enumeration, extent, listed, rounded

FOLDER = "cost"
MIXTURES = ("DeepSeekMoE-16B", "OLMoE-1B-7B", "Qwen3-30B-A3B")
DENSE = (DENSE_7B, "Vicuna-13B")
FOLDED = 6  # rows, above which a table opens by its heading
NOT_MEASURED = "*Not measured on this device.*"
NOTHING = "No record of `{script}` is in this checkout."


def costs() -> list[Record[CostNumbers]]:
    """Records of times at true shapes, those of GPUs first."""
    records = loading.of_scripts(FOLDER, CostNumbers, "cost.*.json").values()
    return sorted(records, key=lambda record: record.provenance.device == record.provenance.cpu)


def traffics() -> list[Record[TrafficNumbers]]:
    """Records of traffic."""
    return [*loading.of_scripts(FOLDER, TrafficNumbers, "traffic.*.json").values()]


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
    caption = (
        f"{_distance(table)}Mixtures (squares) and dense models (circles): median (line), "
        "quartiles (band, often narrower than the line) and the least time that the machine's "
        "rates allow (dashed)."
    )
    drawn = [figures.decoding(table)]
    return pages.chart("decoding", drawn, caption, table, _evidence(record))


def _distance(steps: pd.DataFrame) -> str:
    """How far decoding is from its bound, mixtures beside dense models, few and many at once."""
    parts = []
    for batch in sorted({*steps["batch"].agg(["min", "max"])}):
        times = 1 / steps[steps["batch"] == batch].set_index("shape")["of_bound"]
        mixtures, dense = (times[times.index.isin(names)] for names in (MIXTURES, DENSE))
        if len(mixtures) and len(dense):
            parts.append(
                f"{extent(mixtures, 1)} times their bound at batch {batch} (dense models from 7B: "
                f"{extent(dense, 1)})"
            )
    return f"**Mixtures take {enumeration(parts)}.** " if parts else ""


def executor_chart(record: Record[CostNumbers]) -> Markdown:
    """Times of the experts by each executor, beside a dense perceptron of equal active size."""
    table = tables.ratios(record, "executors", ACTIVE)
    even = table[table["arm"].str.endswith(", uniform")]
    if even.empty:
        return Markdown(NOT_MEASURED)
    most = even[even["per_expert"] == even["per_expert"].max()].sort_values("ratio")
    times = zip(most["arm"], most["ratio"], strict=True)
    parts = enumeration(f"{value:.1f} times ({arm.split(',')[0]})" for arm, value in times)
    caption = (
        f"**With {even['per_expert'].max():g} tokens per expert, experts take {parts} the "
        "dense time.** Median (line) and quartiles (band). Dashed: 1, and E/k = 8, the price of "
        "all experts at the dense rate; dotted: 256 tokens per expert."
    )
    drawn = [figures.executors(table)]
    return pages.chart("executors", drawn, caption, table, _evidence(record))


def front(record: Record[CostNumbers]) -> list[Markdown]:
    """Published scores over the time of an answer, a row per model."""
    table = published.front(record)
    if table.empty:
        return [Markdown(NOT_MEASURED)]
    mixtures = table[table["kind"] == "mixture"]
    orders = {tuple(mixtures.sort_values(task)["model"]) for task in published.TASKS}
    caption = (
        f"**The tasks {'agree' if len(orders) == 1 else 'do not agree'} on the order of the "
        "mixtures, and no score comes with an interval.** Scores that others published "
        f"({published.SOURCE}) over the time of an answer of {ANSWER} tokens with random weights."
    )
    drawn = figures.front(table)
    columns = headings("model", "billions", "active", "GQA", "MMBench", "ms", "bound_ms")
    columns["active"] = ("active", ".1f")
    columns["ms"] = ("ms per answer, measured", "rounded")
    return [
        pages.chart("published-front", drawn, caption, table, _evidence(record)),
        pages.table(table, columns),
        Markdown(f"A bound is the least time that the measured rates allow: {_rates(record)}."),
    ]


def circumstances(record: Record[CostNumbers]) -> Markdown:
    """What of a record is modelled, what did not run, and what the machine could do and did."""
    numbers, table = record.numbers, tables.cells(record)
    beyond, modelled = (table["of_bound"] > 1).sum(), table["modelled"].sum()
    failed = [f"{cell.arm} ({cell.fault})" for cell in numbers.cells if cell.fault]
    errors = [check.error for check in numbers.checks]
    sum_of_layers = additivity(table)
    sentences = {  # and whether they are to be told
        f"**{record.provenance.device}**: {len(table)} configurations were timed, "
        f"{table['graphed'].sum()} of them as one CUDA graph. A probe in the same run reached "
        f"{_rates(record)}.": True,
        f"It missed the best rates: these are too low for {beyond} of the times.": beyond,
        f"In {modelled} of the configurations, fewer layers ran than the model has: **whole models "
        "are modelled** as multiples of a layer, without the unembedding.": modelled,
        sum_of_layers: sum_of_layers,
        f"Also running: {numbers.beside}.": numbers.beside,
        "Time ran out before the plan was complete.": not numbers.whole,
        f"{len(failed)} failed or fell back: {listed(sorted({*failed}))}.": failed,
    }
    agreed = (
        "Not every executor ran in the check beforehand."
        if None in errors
        else f"In a check beforehand, executors agreed with float32 within {max(errors):.2g} of "
        "its norm."
    )
    return Markdown(" ".join([*(text for text, told in sentences.items() if told), agreed]))


def additivity(cells: pd.DataFrame) -> str:
    """Whether a model takes the time of its layers, where several depths were run."""
    parts = []
    deep = cells[cells["panel"] == "additivity"]
    for (mode, shape), arms in deep.groupby(["mode", "shape"]):
        times = arms.set_index("layers")["ms"]
        most = times.index.max()
        if 1 in times.index and most > 1:
            ratio = times[most] / (most * times[1])
            parts.append(f"{ratio:.2f} for {most} layers of {shape} ({mode})")
    told = f"A model's time, relative to the sum of single layers, is {'; '.join(parts)}."
    return told if parts else ""


def kinds(record: Record[CostNumbers]) -> Markdown:
    """Times of every kind of perceptron in OLMoE, times ordinary top-8 with uniform routing."""
    table = tables.ratios(record, "kinds", UNIFORM)
    part = table["part"].eq("mlp").map({True: "experts", False: "model"})
    table["size"] = part + ", " + table["mode"] + ", " + table["batch"].astype(str)
    return _by_size(table, {"arm": ("Kind and trace", "")})


def family(record: Record[CostNumbers]) -> Markdown:
    """Times of k of E experts of one total width, times the dense perceptron of that width."""
    return _by_size(_family(record), {"arm": ("Experts", "")} | headings("share"))


def beside_ideal(record: Record[CostNumbers]) -> list[Markdown]:
    """How many times the share k/E of time fewer experts take, and all of them."""
    table = _family(record)
    sparse, full = table[table["share"] < 1], table["ratio"][table["share"] == 1]
    sentences = []
    if len(sparse):
        times = (sparse["ratio"] / sparse["share"]).groupby(sparse["size"], sort=False)
        ranges = enumeration(
            f"{extent(of_ideal, 1)} times ({size}; shapes: {len(of_ideal)})"
            for size, of_ideal in times
        )
        sentences.append(f"**Fewer than all experts take {ranges} the share k/E of the time.**")
    if len(full):
        sentences.append(
            "All experts together do the dense perceptron's work in pieces, and take "
            f"{extent(full, 1)} times its time."
        )
    return [Markdown(" ".join(sentences))] if sentences else []


def _family(record: Record[CostNumbers]) -> pd.DataFrame:
    reference = "OLMoE, dense, equal total"
    table = tables.ratios(record, "family", reference)
    table = table[table["arm"] != reference].copy()
    table["share"] = [float(Fraction(arm.replace(" of ", "/"))) for arm in table["arm"]]
    table["size"] = [
        f"{row.mode}, {row.tokens} token{'s' if row.tokens > 1 else ''}"
        for row in table.itertuples()
    ]
    return table


def _by_size(ratios: pd.DataFrame, columns: dict[str, tuple[str, str]]) -> Markdown:
    """A row for each arm, which `columns` are of, and a column of ratios for each size."""
    if ratios.empty:
        return Markdown(NOT_MEASURED)
    wide = ratios.pivot_table("ratio", [*columns], "size", sort=False)
    columns = columns | {size: (size, ".2f") for size in wide}
    return pages.table(wide.reset_index(), columns, FOLDED)


def between_devices(record: Record[TrafficNumbers]) -> Markdown:
    """Traffic of each routing on several devices, experts placed by modality."""
    table = traffic.modelled(record)
    table = table[table["placement"] == "by modality"].sort_values("devices", kind="stable")
    columns = headings("devices", "source", "homes", "leaving", "away", "megabytes", "imbalance")
    columns |= headings("compute_ms")
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
    table = traffic.trained(records)
    sent = headings("arm", "devices", "megabytes")
    sent |= {link: (f"{link}, ms", "rounded") for link in traffic.LINKS}
    return Markdown(
        f"{pages.table(table, columns, FOLDED).data}\n\nBytes sent and returned, and **modelled** "
        "times of the busiest device, for 1,000 tokens of a layer of these models. They take a "
        "token's choices for independent, and their number for its modality's mean. Real choices "
        "never repeat an expert, which sends more; where their number varies, fewer devices are "
        f"visited.\n\n{pages.table(table, sent, FOLDED).data}"
    )


def _rates(record: Record[CostNumbers]) -> str:
    peaks = record.numbers.peaks
    return f"{rounded(peaks.teraflops)} TFLOP/s and {rounded(memory_rate(peaks))} GB/s"
