"""The Experiments page: recipes and sweeps."""
