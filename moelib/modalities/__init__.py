"""Routing between modalities: a small vision-language transformer, its questions, its experts.

Scenes and programs (`scenes`, `programs`) make sentences with balanced answers (`language`,
`questions`), and splits that differ by construction (`splits`). A transformer (`model`) reads
patches and words in one sequence; what its tokens are routed by is a pure function (`routing`), and
what keeps experts in use or apart another (`losses`). `train` makes a run, `utilization` and
`sharpness` analyse it, and `python -m moelib.modalities` runs a whole study, seed by seed. What
routing costs at the shapes of published models is `cost`, scoring on their benchmarks `benchmarks`.

It may import report, analyses, curvature, training, heads, records and study; no other room knows
of it. Add an arm to `moelib.study.modalities` and its gate to `routing`, an analysis as a file here
with its kind of record in `moelib.records.modalities`.
"""
