"""The helper library of the executable paper on mixture-of-experts heads in vision.

Its rooms, each of which says what lives there, what it may import, and where to add:

    study       what can be run              curvature   derivatives beyond the gradient
    records     what was measured            analyses    what is measured of a trained run
    heads       routing to experts           report      all that only reads records
    training    from images to weights       modalities  routing between pictures and words

Axis letters, the same in every shape comment and einsum:

    n image   e expert   k choice   d feature   h hidden unit   c class   p parameter   s seed
"""
