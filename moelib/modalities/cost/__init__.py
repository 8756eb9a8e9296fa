"""What a mixture of experts costs at the shapes of published models, with random weights.

It may import what its parent may, and of its parent nothing. Add a panel of what is timed to
`grid`, a way of executing experts to `experts`, a prediction to `predictions` and its criterion to
`verdicts`.
"""
