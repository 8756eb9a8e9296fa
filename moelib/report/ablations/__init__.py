"""What do balance losses, gates, a hidden layer and each departure of the authors' code bring?

It may import the shared files of the report, records and study, and the chapters `accuracy`,
`utilization`, `sharpness` and `robustness`. Add a hypothesis, before its runs, to `contrasts`; one
on a part of a mixture to `contrasts.PARTS`, which `words` tells of too. `expectations` shows them
as tables, and judges what is counted.
"""
