"""Routing between modalities: a small vision-language transformer, its questions, its experts.

What a run is made of, in the order in which one reads the other:

    scenes, programs     pictures, and what is asked of them, with balanced answers
    language             programs as sentences; questions: sentences with their scenes
    splits               training items and tests, which differ by construction
    routing, losses      which experts a token meets; what keeps them in use or apart
    experts, blocks      how experts compute; perceptrons by their rule of routing
    model                a transformer that reads patches and words in one sequence
    batches              items as its inputs, and its answers measured

What makes records of it, each for one run (`python -m moelib.modalities` for a study):

    train                a run: epochs, tests, weights
    analysis             one analysis of a trained run: utilization, sharpness; nlvr by itself

And rooms within the room:

    report/              what the book shows of these records
    cost/                what routing costs at the shapes of published models
    benchmarks/          scoring predictions of any model on published benchmarks

It may import report, analyses, curvature, training, heads, records and study; no other room knows
of it. Add an arm to `moelib.study.modalities` and its gate to `routing`, an analysis as a file here
with its kind of record in `moelib.records.modalities`.
"""
