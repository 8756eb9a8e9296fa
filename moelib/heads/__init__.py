"""Routing to experts: plans, gates, balance losses, experts, and ways to execute them.

It may import records and study. Add a gate to `gates`, a balance loss to `balance`; `head` puts a
head together.
"""
