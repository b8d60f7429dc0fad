"""Evaluates a network: figures, thresholds, folds and likely label errors."""
