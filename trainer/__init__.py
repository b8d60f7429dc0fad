"""Trains and validates a Keras model on labelled photos."""
