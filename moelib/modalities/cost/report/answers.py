"""What records of costs answer: the price of a mixture and of a routing, and the predictions."""

from collections.abc import Sequence

import pandas as pd
from IPython.display import Markdown

from moelib.modalities.cost.report import tables
from moelib.modalities.cost.report.verdicts import ACTIVE, DENSE_7B, UNIFORM, judge, times
from moelib.modalities.cost.report.words import MIXTURES, NOT_MEASURED
from moelib.records.cost import CostNumbers
from moelib.records.record import Record
from moelib.report import pages
from moelib.report.headings import headings
from moelib.report.statistics.hypotheses import CONTRADICTED, INCONCLUSIVE, SUPPORTED
from moelib.report.wording import enumeration, extent, listed, plain, rounded

SIXTEEN = MIXTURES[0]
VARIABLES = ("top-8, variable", "top-8, variable-by-modality")
ROUTINGS = {  # arms, and when a model is routed so
    "top-8, partitioned": "with a hard partition",
    "top-8, guided": "with guidance",
    "top-8, adversarial": "if all tokens choose the same experts",
    "soft": "if all tokens meet all experts",
}


def answer(record: Record[CostNumbers]) -> Markdown:
    """What a mixture costs beside a dense model, and how the predictions fared."""
    table = judge(record)
    verbs = {SUPPORTED: "supports", CONTRADICTED: "contradicts", INCONCLUSIVE: "leaves open"}
    parts = enumeration(
        f"{verb} {len(names)} ({listed(names)})"
        for word, verb in verbs.items()
        if len(names := table["name"][table["verdict"] == word])
    )
    fared = f"Of {len(table)} predictions, the {record.provenance.device} {parts}."
    prices = _price_of_decoding(record), _price_of_experts(record)
    return Markdown(" ".join(filter(None, [*prices, fared])))


def _price_of_decoding(record: Record[CostNumbers]) -> str:
    """A step of the 16B mixture beside one of the dense 7B, and what their bounds allow."""
    table = tables.decoding(record)
    table = table[table["batch"] == table["batch"].min()].set_index("shape")
    if not {SIXTEEN, DENSE_7B} <= {*table.index}:
        return ""
    mixture, dense = table.loc[SIXTEEN], table.loc[DENSE_7B]
    faster = "faster" if mixture["whole_ms"] < dense["whole_ms"] else "no faster"
    share = mixture["whole_ms"] * mixture["of_bound"] / (dense["whole_ms"] * dense["of_bound"])
    return (
        f"**At batch {dense['batch']}, a 16B mixture ({SIXTEEN}) decodes {faster} than a dense 7B "
        f"({DENSE_7B}; {rounded(mixture['whole_ms'])} and {rounded(dense['whole_ms'])} ms per "
        f"step). By their bounds, the mixture would take {share:.0%} of the dense model's time.**"
    )


def _price_of_experts(record: Record[CostNumbers]) -> str:
    """The experts of OLMoE beside a dense perceptron of equal active size, over all sizes."""
    table = tables.ratios(record, "executors", ACTIVE)
    grouped = table["ratio"][table["arm"] == "grouped, uniform"]
    if grouped.empty:
        return ""
    return (
        f"The experts of OLMoE, computed as one grouped product, take {extent(grouped, 1)} times "
        "as long as a dense perceptron of equal active size."
    )


def routing(record: Record[CostNumbers]) -> Markdown:
    """What hard, guided and soft routing cost beside ordinary top-8, in decoding."""
    table = tables.ratios(record, "kinds", UNIFORM)
    table = table[table["mode"] == "decode"]
    many = table[(table["batch"] == table["batch"].max()) & (table["part"] != "mlp")]
    whole = many.set_index("arm")["ratio"]
    parts = [f"{plain(whole[arm])} {name}" for arm, name in ROUTINGS.items() if arm in whole]
    if not parts:
        return Markdown(NOT_MEASURED)
    sentences = [
        f"**Relative to ordinary top-8, the model's decoding time at batch {many['batch'].iloc[0]} "
        f"is {enumeration(parts)}.**"
    ]
    alone = table["ratio"][(table["batch"] == 1) & table["arm"].isin([*ROUTINGS][:3])]
    if len(alone):
        sentences.append(
            "At batch 1 a token reads eight experts whatever the trace, and the experts of the "
            f"first three take {extent(alone)} times as long."
        )
    return Markdown(" ".join(sentences))


def verdicts(records: Sequence[Record[CostNumbers]], criteria: bool = False) -> Markdown:
    """The predictions, and for each device what was found and the verdict as a coloured word."""
    judged = {record.provenance.device: judge(record) for record in records}
    table = [*judged.values()][0][["name", "statement", "criterion"]].copy()
    for device, found in judged.items():
        words = [pages.badge(word, pages.MARKS[word][1]) for word in found["verdict"]]
        table[device] = pd.Series(words) + " " + found["evidence"]
    columns = headings("name", "statement", "criterion")
    if not criteria:
        del columns["criterion"]
    return pages.table(table, columns | {device: (device, "") for device in judged})


def drawn(records: Sequence[Record[CostNumbers]]) -> list[Markdown]:
    """What P4's trace read at batch 32 on each device, beside another of as many slots."""
    parts = []
    for record in records:
        table = tables.ratios(record, "kinds", UNIFORM)
        table = table[(table["part"] == "mlp") & (table["batch"] == 32)].set_index("arm")
        if {*VARIABLES} <= {*table.index}:
            rows = table.loc[[*VARIABLES]].itertuples()
            both = " and ".join(f"{row.touched:g} ({plain(row.ratio)} times)" for row in rows)
            parts.append(f"{both} on the {record.provenance.device}")
    if not parts:
        return []
    return [
        Markdown(
            "**How many experts P4's trace reads at batch 32 is a matter of chance.** Where only "
            "words are decoded, chance alone tells *variable* from *variable-by-modality*. They "
            f"read so many experts (and take so many times uniform routing's time): "
            f"{'; '.join(parts)}. Where one layer was run, it had one trace."
        )
    ]


def remarks(record: Record[CostNumbers]) -> list[Markdown]:
    """That the verdict on guidance is one on its trace, where other traces cost less, too."""
    left = times(record)
    runs = [(f"top-8, {trace}", "model", "decode", 32) for trace in ("zipf", "skewed")]
    zipf, skewed = left.reindex(runs)
    if not (zipf < 1 and skewed < 1):
        return []
    return [
        Markdown(
            "P6 judges a trace, not the method. In decoding, every trace with favourites reads "
            f"fewer experts than the uniform one. The model takes {plain(zipf)} times as long "
            f"if all tokens favour the same ones, {plain(skewed)} if each modality has its own."
        )
    ]
