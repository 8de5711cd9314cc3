"""The Classify page: a person's own pictures through trained networks."""
