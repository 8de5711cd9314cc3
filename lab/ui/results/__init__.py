"""The Results tab of a run: the predictions of one checkpoint on a part of the images."""
