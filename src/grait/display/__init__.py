"""Results of a run or a comparison, for people: tables for the terminal and Markdown, figures, and one page of both.

``tables``, ``examples`` and ``figures`` are pure functions of records; ``page`` puts them together. Nothing here reads
or writes a file (``pipeline.reporting`` does).
"""
