"""A run's training data in the shape of other training tools, with what becomes of the weights."""
