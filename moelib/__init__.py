"""The helper library of the executable paper on mixture-of-experts heads in vision.

Axis letters, the same in every shape comment and einsum:

    n image   e expert   k choice   d feature   h hidden unit   c class   p parameter   s seed

Imports point one way, as the layers in pyproject.toml say. On the ground `config` (what to run),
`record` and `provenance` (what is kept). Above it `data`, `augment`, `routing`, `balance`,
`experts`, `gates`, `heads`, `backbones`; then `model` and `train`. Curvature stands on `objective`
(the loss as a function of the weights): `lanczos`, `trace`, `density`, `adaptive`. The analyses
(`utilization`, `sharpness`, `surface`) know all these but not each other. `frames`, `figures`,
`landscape`, `findings` and `notebook` know only configuration and records.
"""
