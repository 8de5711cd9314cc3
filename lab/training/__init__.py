"""The training engine: `plan` decides, `fit` trains and tells what happened."""
