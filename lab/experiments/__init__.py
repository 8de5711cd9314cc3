"""Ready-made settings: the starts of the Home page and sensible defaults per data set."""
