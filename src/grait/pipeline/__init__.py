"""The stages in order, and what they keep: the only package that knows what comes after what.

``order`` is the page to read first. ``data``, ``models`` and ``stages`` are what stages take; each other module holds
the stages of one part of the run. The work itself is done by plain functions elsewhere, which know nothing of each
other.
"""
