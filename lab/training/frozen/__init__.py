"""Frozen layers run once an image instead of once a step."""
