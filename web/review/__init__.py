"""Selects photos for reviewers, and stores their answers."""
