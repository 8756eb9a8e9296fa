"""From images to trained weights: data, backbones, the model, and the training of a run.

It may import heads, records and the study. A new backbone goes into `backbones`, a new data set
into `data`.
"""
