"""The command line: the same jobs as the pages, by the same engine, into the same store."""
