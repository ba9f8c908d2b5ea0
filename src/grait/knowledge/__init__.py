"""Stage 1: what the initial model knows."""
