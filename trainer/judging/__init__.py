"""Evaluates a network, sets its thresholds and finds likely label errors."""
