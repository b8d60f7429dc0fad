"""Labelled photos in, a validated Keras model out."""
