"""Models by name on the command line: what there is of them, and what may be done with it."""
