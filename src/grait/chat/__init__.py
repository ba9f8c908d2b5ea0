"""A tuned model to talk to, in the terminal and on a page."""
