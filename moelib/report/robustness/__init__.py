"""Beyond the test split: corrupted images, calibration, agreement, and what predicts them.

It may import the shared files of the report, records and study, and the chapter `sharpness`. Add a
measure of a run to `tables.summary`, and what is seen of it to `figures` and `words`.
"""
