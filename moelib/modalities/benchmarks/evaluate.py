"""From two files to scores, for any of the benchmarks, and a tiny example of each."""

from pathlib import Path
from types import ModuleType

from moelib.modalities.benchmarks import gqa, mmbench, nlvr, nlvr2, seed_bench
from moelib.modalities.benchmarks.files import FileError
from moelib.modalities.benchmarks.predictions import read_predictions
from moelib.modalities.benchmarks.scores import Scores

BENCHMARKS = {
    "mmbench": mmbench,
    "seed-bench": seed_bench,
    "gqa": gqa,
    "nlvr2": nlvr2,
    "nlvr": nlvr,
}
EXAMPLES = Path(__file__).parent / "examples"  # written for this project, of no benchmark


def evaluate(
    benchmark: str,
    questions: str | Path,
    predictions: str | Path,
    choices: str | Path | None = None,
    consistency: bool = False,
) -> Scores:
    """Score predictions by a benchmark's official rules; the last two options are of GQA alone.

    Raises:
        FileError: there is no such benchmark, a file is not named or damaged, or an option
            is not of this benchmark.
    """
    module = _module(benchmark)
    for name, path in (("questions", questions), ("predictions", predictions)):
        if not str(path):
            raise FileError(f"The file of {name} is not named; a score needs both.")
    options = {"choices": Path(choices)} if choices else {}
    options |= {"consistency": True} if consistency else {}
    if options and benchmark != "gqa":
        raise FileError(f"{' and '.join(options)} are options of gqa, and not of {benchmark}.")
    rows = module.read(Path(questions))
    return module.score(rows, read_predictions(Path(predictions), rows.key), **options)


def example(benchmark: str) -> tuple[Path, Path]:
    """Return the files of an example in the benchmark's format: questions and predictions.

    Raises:
        FileError: there is no such benchmark.
    """
    _module(benchmark)
    folder = EXAMPLES / benchmark
    return next(folder.glob("questions.*")), next(folder.glob("predictions.*"))


def _module(benchmark: str) -> ModuleType:
    if benchmark not in BENCHMARKS:
        raise FileError(
            f"There is no benchmark '{benchmark}'; the benchmarks are {', '.join(BENCHMARKS)}."
        )
    return BENCHMARKS[benchmark]
