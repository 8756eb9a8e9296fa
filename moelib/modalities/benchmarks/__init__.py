"""Official scores of published benchmarks, from their authors' files and anybody's predictions.

One file per benchmark: its rows, its reader, its scores. They share what a damaged file is
(`files`), what a prediction file is (`predictions`) and what a score is (`scores`). No model runs
here: `python -m moelib.modalities.benchmarks score nlvr --questions ... --predictions ...`.

It may import nothing else of moelib. Add a benchmark as a file here and a line in `evaluate`.
"""
