"""From images to trained weights: data, backbones, the model, and the training of a run.

It may import heads, records and study. Add a backbone to `backbones`, a data set to `data`.
"""
