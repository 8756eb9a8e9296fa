"""What was measured: the kinds of records, their provenance, and the code they depend on.

It may import study. Add a kind of record to `kinds`, what decides whether one is up to date to
`freshness`.
"""
