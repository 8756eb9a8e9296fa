"""What is measured of a trained run, one analysis a file, and what benchmarks share.

It may import curvature, training, heads, records and study; analyses do not import each other. Add
one as a file here, with its kind of record and its notebook.
"""
