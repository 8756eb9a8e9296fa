"""The paper's claims, what records say on each, and the verdicts.

It may import the shared files of the report, records and study, and the chapters `accuracy`,
`utilization`, `sharpness`, `surface` and `efficiency`. Add a claim to `claims.CLAIMS`, and how its
evidence is found to `evidence`.
"""
