"""Everything that only reads records: frames, statistics, figures, tables and words of the book.

It may import records and study, and no torch. Add a claim to `claims` and how its evidence is found
to `evidence`; a figure to the file of its question; a chapter to `chapters`.

A chapter asks one question. A function of `chapters` (or of another room, such as the one on
modalities) takes names of studies and returns what the notebook of the page displays:

    records = loading.by_evidence(studies, Numbers)
    frame = effects...           # study, panel, head, seeds, value, low, high, by_seed, paper
    forest.chart("name", frame, records, caption, "label of the axis")  # small panels side by side
    pages.chart("name", figures, caption, alt, frame, records)     # numbered, linked, with its data
    pages.fragment("name", html, caption, frame, records)           # the same of HTML: no picture
    pages.table(frame, {"column": ("Heading", ".2f")})              # folded where it is long
    pages.source(records)                                           # where a table comes from

A caption begins with what is to be seen, in bold; the name of a figure is unique in the book, and
other pages refer to it by {numref}. `figures.styled` draws text and grid in colours that a page
replaces by those of its theme. Pages for all of a study's numbers are appendices.
"""
