"""Claims, the paper's and your own, what records say on each, and the verdicts.

It may import the shared files of the report, records and study, and the chapters `accuracy`,
`utilization`, `sharpness`, `surface` and `efficiency`. Add a claim to `own.OWN`, and how its
evidence is found to `evidence`.
"""
