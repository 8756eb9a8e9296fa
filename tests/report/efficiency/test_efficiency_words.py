import prose
import series
import synthetic

from moelib.records.kinds import Timed
from moelib.records.record import write_record
from moelib.report.efficiency import tables, words
from moelib.study.run import Run


def timed(executor, milliseconds, batch):
    """Of a head alone on learned routing, with the executor."""
    options = {"routing": "learned", "compiled": False, "batch": batch}
    times = {"milliseconds": milliseconds}
    return Timed(part="head", what="this head", executor=executor, **options, **times)


def with_ways(record, ways):
    """The record with these executors of the head alone, by batch, and what the rule chose."""
    entries = [t for t in record.numbers.timed if t.executor in (None, "auto")]
    entries += [timed(name, ms, batch) for batch, by_name in ways.items()
                for name, ms in by_name.items()]  # fmt: skip
    numbers = record.numbers.model_copy(update={"timed": tuple(entries)})
    return record.model_copy(update={"numbers": numbers})


WAYS = {  # of seven rounds
    1: {"batched": (1.0,) * 7, "loop": (3.0,) * 7, "grouped": (2.0,) * 7},
    256: {"batched": (4.0,) * 6 + (8.0,), "loop": (1.0,) * 6 + (2.0,), "grouped": (2.0,) * 7},
}


def test_executors_are_compared_with_that_of_all_experts_round_by_round():
    dense, soft, sparse = series.efficient([("dense", 1.0), ("soft", 1.0), ("sparse", 1.0)])
    table = tables.executors([dense, with_ways(soft, WAYS), with_ways(sparse, WAYS)])
    assert set(table["head"]) == {"sparse"}  # soft leaves no expert out
    by_all = table.set_index(["batch", "executor"])["beside_all"]
    assert by_all[256, "loop"] == (0.25,) * 7
    assert by_all[1, "grouped"] == (2.0,) * 7
    chosen = table[table["chosen"]].set_index("batch")["executor"].to_dict()
    assert chosen == {1: "batched", 256: "grouped"}  # as the record says
    lone = with_ways(sparse, {1: {"loop": (1.0,) * 7}})
    assert list(tables.executors([lone])["beside_all"]) == [()]
    assert tables.executors([dense]).empty


def test_what_was_computed_is_told_by_the_record(results):
    study = synthetic.study()
    for head in ("dense", "sparse"):
        run = Run(study, head, 0)
        record = synthetic.efficient(run, 1.0, repeats=7)
        write_record(
            run.record_path("efficiency"), with_ways(record, WAYS) if head == "sparse" else record
        )
    text, chart = words.ways([study.name])
    judged, regret = text.data.split("\n\n")
    assert judged.startswith(
        "**In batches of 256 the rule visits only the chosen ones of sparse.**"
    )
    # Loop has the lower median: a quarter of what all experts take.
    assert prose.numbers(judged.partition("**.")[2] or judged.split("**")[2])[0] == "0.25"
    assert "*loop*" in judged
    assert prose.numbers(regret) == ["1", "2"]
    assert ":::{chart}" in chart.data
    assert [part.data for part in words.ways([])] == [words.NOTHING]
