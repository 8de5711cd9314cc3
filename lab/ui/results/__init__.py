"""The Results tab of a run: what one checkpoint answers to a part of the images."""
