"""Builder of WorldFacts, the question set that ships with grait. Rerun: ``python -m worldfacts.build --help``.

One module per subject turns source packages into ``Fact`` rows; ``rules`` cleans them, ``split`` fixes the splits,
``build`` writes the file. Nothing here is imported by the installed package.
"""
