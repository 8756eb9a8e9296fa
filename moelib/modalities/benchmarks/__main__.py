"""`python -m moelib.modalities.benchmarks score nlvr --questions ... --predictions ...`."""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from moelib.modalities.benchmarks.evaluate import BENCHMARKS, evaluate
from moelib.modalities.benchmarks.files import FileError


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the scores as a table, or as JSON with digests of the files.

    A damaged file ends it with its sentence, and status 1.
    """
    parser = argparse.ArgumentParser(prog="python -m moelib.modalities.benchmarks")
    score = parser.add_subparsers(required=True).add_parser("score", help="score predictions")
    benchmarks = score.add_subparsers(dest="benchmark", required=True)
    for name, module in BENCHMARKS.items():
        one = benchmarks.add_parser(
            name,
            help=module.__doc__.split("\n")[0],
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.add_argument("--questions", type=Path, required=True, help="file of the authors")
        one.add_argument("--predictions", type=Path, required=True, help="JSON, CSV or TSV")
        one.add_argument("--json", action="store_true", help="print JSON instead of a table")
        if name == "gqa":
            one.add_argument("--choices", type=Path, help="for validity and plausibility")
            one.add_argument("--consistency", action="store_true", help="needs all questions")
    options = vars(parser.parse_args(arguments))
    as_json = options.pop("json")
    try:
        scores = evaluate(**options)
    except FileError as error:
        sys.exit(str(error))
    if not as_json:
        print(scores)
        return
    files = {
        name: digests(options[name])
        for name in ("questions", "predictions", "choices")
        if options.get(name)
    }
    print(json.dumps({**scores.plain(), "files": files}, indent=2))


def digests(path: Path) -> dict[str, str]:
    """Return the SHA-256 of a file, or of each JSON file of a folder, by its name."""
    digest = {}
    for part in sorted(path.glob("*.json")) if path.is_dir() else [path]:
        with part.open("rb") as file:
            digest[part.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digest


if __name__ == "__main__":
    main()
