"""Speeds, measured as ratios within one run: ``python -m benchmarks.influence``, ``.training``, ``.knowledge``, ..."""
