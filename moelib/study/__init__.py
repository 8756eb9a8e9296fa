"""What can be run: studies, their heads and seeds, and the parameters of notebooks.

It imports nothing else of moelib, and no torch. A new key of a study goes into the declaration it
belongs to, with its limits.
"""
