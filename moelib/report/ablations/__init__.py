"""What do balance losses, gates, a hidden layer and each departure of the authors' code bring?

It may import the shared files of the report, records and study, and the chapters `accuracy`,
`utilization` and `sharpness`. Add a hypothesis, before its runs, to `contrasts`, which
`preregistered` tells of, and a part of a mixture to `tables.PARTS`, which `words` tells of.
"""
