"""What the book shows of costs: it only reads records, without torch.

It may import the report, records and study, and of its parent what computes no times: `predictions`
and `traffic`. Add a frame of times to `tables`, of what devices send to `traffic`, the criterion of
a prediction to `verdicts`, what is seen of it to `figures` and `words`, and what it comes to, to
`answers`; `roofline` tells the least time of a pass, `published` quotes scores.
"""
