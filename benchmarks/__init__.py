"""Measurements of the lab on this machine: `python -m benchmarks [NAME ...]`."""
