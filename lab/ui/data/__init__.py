"""The Data page: browse a data set, add and download others."""
