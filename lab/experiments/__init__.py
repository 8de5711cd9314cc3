"""Ready-made settings and experiments: starts, recipes of the documents, time estimates, sweeps."""
