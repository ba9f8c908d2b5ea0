"""Judging one output: is it right, does it refuse, which outcome is it? Used wherever an answer is counted."""
