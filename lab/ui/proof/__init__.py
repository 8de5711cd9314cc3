"""The Proof page: whether cleaning a data set helped."""
