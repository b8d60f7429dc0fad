"""Converts a Keras model to a verified bundle."""
