"""The built-in data sets, drawn by the lab itself."""
