"""Reviewers' labels for photos: review writes them, retraining reads them."""
