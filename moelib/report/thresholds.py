"""From where on a number counts as small, alike or balanced, in claims as in answers.

They are this project's judgement of what a reader would call so; the paper gives none.
"""

FITTED = 0.999  # training accuracy from which on a head fits the training images
COMPARABLE = 0.01  # accuracy difference below which two heads count as comparable
SIMILAR = 1.5  # ratio up to which two curvatures, or two rises of the loss, count as alike
WEAK = 0.3  # Kendall's tau up to which, in either direction, two measures count as not ordered
FASTER = 0.98  # times the dense model's time, below which a model counts as faster
BALANCED = 0.2  # coefficient of variation of gate mass below which experts count as balanced
ALIVE = 0.1  # multiple of the uniform share of gate mass below which an expert is dead
SPECIALISED = 0.1  # nats that class and expert share beyond what shuffled labels do
MATCHED = 0.01  # difference of parameters, of all of a model, below which budgets are matched
