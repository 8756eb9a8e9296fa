"""Derivatives of a loss beyond the gradient, by products with the Hessian.

It may import training, heads, records and study, and knows no analysis. Add an estimator as a file
of its own, over products with an operator.
"""
