"""What a trained network is worth: its published checkpoints opened, tested, asked about pictures.

Reads the folders of runs and never the network in training.
"""
