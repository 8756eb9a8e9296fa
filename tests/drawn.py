"""What figures show, as tests read it."""


def lines(axes, colour=None):
    """The lines that hold data; seaborn adds empty ones for its legend."""
    return [
        line
        for line in axes.lines
        if len(line.get_xdata()) and (colour is None or line.get_color() == colour)
    ]


def texts(legend):
    return [text.get_text() for text in legend.get_texts()]
