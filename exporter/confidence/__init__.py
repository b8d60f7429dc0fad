"""Knowing how sure a model is: temperature, thresholds for a promised precision, and "not one of my products"."""
