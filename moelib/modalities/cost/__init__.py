"""What a mixture of experts costs at the shapes of published models, with random weights.

    predictions      what is expected, written down before
    grid, traces     what is timed, and which experts its tokens choose
    model, experts   layers of a shape, and ways to execute their experts
    measure          times in interleaved rounds; session: from the checks to the record
    traffic          what a routing sends between devices: counts
    report/          what the book shows of records

It may import what its parent may, and of its parent nothing. Add a panel of what is timed to
`grid`, a way of executing experts to `experts`, a prediction to `predictions` and its criterion to
`report.verdicts`.
"""
