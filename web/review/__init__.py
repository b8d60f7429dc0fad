"""Gives the photos for review to reviewers, and stores their answers."""
