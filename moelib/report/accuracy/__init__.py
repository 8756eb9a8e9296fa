"""Does a mixture of experts classify better than a dense head of its size?

It may import the shared files of the report, records and study, and no other chapter. Add a number
of a run to `tables.finals`, and what is seen of it to `figures` and `words`.
"""
