"""The documents' experiments, one click each."""
