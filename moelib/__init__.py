"""The helper library of the executable paper on mixture-of-experts heads in vision.

Axis letters, the same in every shape comment and einsum:

    n image   e expert   k choice   d feature   h hidden unit   c class   p parameter   s seed

Imports point one way. On the ground `config` (what to run), `record` and `provenance` (what is
kept). Above it `data`, `augment`, `routing`, `balance`, `experts`, `gates`, `heads`, `backbones`;
then `model` and `train`; then the analyses, which know models but not each other; `figures` and
`notebook` know only configuration and records.
"""
