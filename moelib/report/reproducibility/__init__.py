"""How did the records come about, and what did they take?

It may import the shared files of the report, records and study, and no other chapter. Add a fact
about records to `tables`, and what is told of them to `words`.
"""
