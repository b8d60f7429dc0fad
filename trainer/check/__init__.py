"""A look at labelled photos before anything is learned from them: faults, duplicates, leaks and shortcuts."""
