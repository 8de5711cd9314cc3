"""The Compare page: several runs laid over each other."""
