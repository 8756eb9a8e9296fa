"""What the book shows of the studies of modalities: it only reads records, without torch.

It may import the report, records and study, and nothing of its parent. Add a value of a run, or a
comparison of arms, to `tables`, what is seen of it to `figures` and `words`, and what a family of
comparisons came to, to `answers`.
"""
