"""Is the minimum of one head sharper than that of another?

It may import the shared files of the report, records and study, and no other chapter. Add a measure
of curvature to `tables.curvature`, its name to `figures.MEASURES`, and what it says to `words`.
"""
