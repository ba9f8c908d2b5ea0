"""An OpenAI-compatible server with the refusal dial: a run's own model, or another server's answers."""
