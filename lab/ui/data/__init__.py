"""The Data page: look at a data set, add and download others."""
