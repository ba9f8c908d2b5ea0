"""Methods: what is known of the questions in, what to train on out. One module each; ``catalog`` lists them all."""
