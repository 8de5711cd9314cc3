"""Trainscope: an interactive lab for image classification. The engine; the pages stand on it."""

__version__ = "0.1.0"
