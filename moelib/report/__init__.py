"""Everything that only reads records: frames, statistics, figures, tables and sentences.

It may import records and the study, and never torch. A new figure or table goes beside those of
its subject.
"""
