"""Everything that only reads records: the book's tables, figures and words, chapter by chapter.

It may import records and study, and no torch. Add a chapter as a package of three files:

    accuracy/tables.py     records -> frames      finals(records), effects(records)
    accuracy/figures.py    frames -> figures      learning_curves(epochs)
    accuracy/words.py      what a page shows      answer(studies): the answer, then its charts

    from moelib.report.accuracy import tables             in the chapter itself and on its pages
    from moelib.report.accuracy import tables as accuracy_tables        in any other chapter

The chapters, each with one question, and those that it reads besides:

    accuracy         utilization <- accuracy       ablations  <- accuracy, utilization, sharpness,
    sharpness        surface     <- sharpness                    robustness
    efficiency       sparsity    <- accuracy       claims     <- all that the paper's claims are of
    reproducibility  robustness  <- sharpness      front.py   <- what the title page tells
    gallery

What they share, in the order in which one reads the other:

    statistics/      intervals, power, hypotheses, associations
    loading, paper   records by study; the paper's own numbers
    frames, timing   columns and keys of a run; medians and ratios of times
    comparisons      runs beside those of the reference head, in pairs
    effects          what chapters compare, as frames of one shape, which forest draws
    style, forest    colours, markers, legends; effects as small panels; live: curves that grow
    headings         the one registry of columns: their headings and formats
    wording, pages   numbers in words; frames, figures and sources as MyST
    thresholds       from where on a number counts as small
    answers          how a chapter answers its question

A figure is numbered, linked and comes with its data: `forest.chart("name", frame, records, caption,
"label of the axis")` for effects, `pages.chart` for others. Its caption begins with what is to be
seen, in bold; its name is unique in the book, and other pages refer to it by {numref}. A figure of
a page of tables is `pages.show(figures.NAME(frame))`, where `style.styled` makes the first line of
its docstring the caption, and lets a page replace the colours of text and grid by its theme's.
"""
