"""The learning-rate finder: a short run whose rate grows."""
