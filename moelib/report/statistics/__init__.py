"""How sure a number is: intervals, power, hypotheses and associations.

It may import NumPy, SciPy and pandas, and nothing of moelib. Add a test or an interval to the file
of its question, with a doctest that can be checked by hand.
"""
