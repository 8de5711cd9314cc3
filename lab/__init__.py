"""Epochlab: an interactive lab for image classification. The engine; the pages stand on it."""

from lab.process import spin_briefly

__version__ = "0.1.0"

spin_briefly()  # here, because torch reads it when it is loaded, and everything imports this first
