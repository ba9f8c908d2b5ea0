"""Figures: pure functions from records to Altair charts.

Each chart holds its data in its own specification (``chart.to_dict()``), already counted: what is drawn can be read
there. Shares are fractions in [0, 1] and shown in percent. A mark's ``says`` is what a reader is told who points at it.
"""
