"""Is inference with few experts faster than with a dense head?

It may import the shared files of the report, records and study, and no other chapter. Add a cost of
inference to `tables`, and what is seen of it to `figures` and `words`; benchmarks are here too.
"""
