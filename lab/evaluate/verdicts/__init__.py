"""Verdicts: what a run's metrics mean, in words, with the evidence."""
