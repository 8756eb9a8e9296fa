"""What is measured of a trained run, one analysis a file, and what benchmarks share.

It may import everything but the report; analyses do not import each other. A new analysis is a
file here, a kind of record, and a notebook.
"""
