"""Epochlab: an interactive lab for image classification. The engine; the pages stand on it."""

from lab.process import share_arenas, spin_briefly

__version__ = "0.1.0"

# Here, because everything imports this first: torch reads the one when it is loaded, and the other
# cannot take back what threads have got already.
spin_briefly()
share_arenas()
