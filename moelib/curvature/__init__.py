"""Derivatives of a loss beyond the gradient, by products with the Hessian.

It may import training and what that imports, and knows no analysis. A new estimator is a file of
its own, over products with an operator.
"""
