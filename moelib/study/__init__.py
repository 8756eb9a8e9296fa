"""What can be run: studies, their heads and seeds, and the parameters of notebooks.

It may import nothing else of moelib, and no torch. Add a key of a study to the declaration that it
belongs to, with its limits.
"""
