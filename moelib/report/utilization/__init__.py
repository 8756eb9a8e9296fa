"""Are all experts used, and does the choice of an expert follow the class?

It may import the shared files of the report, records and study, and the chapter `accuracy`. Add a
measure of the use of experts to `tables.summary`, and what is seen of it to `figures` and `words`.
"""
