"""The Inspect page: one image through one network."""
