"""What a run's numbers mean, in words, with the evidence."""
