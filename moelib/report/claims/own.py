"""Hypotheses beyond the paper's: add yours here, with the numbers 1, 2, ...

They are a family of their own. To add one to the paper's claims would change the correction, and so
the verdicts, of all of these. Write a hypothesis down, and commit it, before you look at the runs
that will judge it. Each names in `heads` what it is about beside dense; functions of `evidence.py`
can be used again.
"""

from moelib.report.claims.claims import Claim

OWN: tuple[Claim, ...] = ()
