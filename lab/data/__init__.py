"""Data sets: where they come from, how each is decoded once into a Pack, how batches leave it."""
