"""The model: loading it, phrasing prompts for it, and running it fast on many short questions."""
