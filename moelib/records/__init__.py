"""What was measured: the kinds of records, their provenance, and the code they depend on.

It may import the study. A new kind of record goes into `kinds`.
"""
