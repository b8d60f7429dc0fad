"""Checks labelled photos before training: faults, duplicates, leaks and shortcuts."""
