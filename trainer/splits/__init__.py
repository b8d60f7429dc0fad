"""Gives photos their splits. A split stays the same in later trainings."""
