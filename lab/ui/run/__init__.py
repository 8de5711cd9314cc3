"""A run as the Train and Runs pages show it: curves, film strip, gradient health, verdicts."""
