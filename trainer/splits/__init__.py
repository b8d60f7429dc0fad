"""Gives photos their splits, which stay from one training to the next."""
