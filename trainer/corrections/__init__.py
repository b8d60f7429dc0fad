"""Reviewers' labels for photos, written by review and read by retraining."""
