"""Judging outputs and measuring methods: pure functions, no model and no disk."""
