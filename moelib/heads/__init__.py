"""Routing to experts: plans, gates, balance losses, experts, and ways to execute them.

It may import the study. A new gate goes into `gates`, a balance loss into `balance`; `head` puts
a head together.
"""
