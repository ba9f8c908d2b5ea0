"""Methods: knowledge state (and influence) in, the questions to train on with their weights out. One module each."""
