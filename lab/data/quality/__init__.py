"""What is wrong in a data set, found by looking at its pictures: one file a check."""
