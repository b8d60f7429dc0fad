"""Writes the reports of a training: an HTML page and a model card."""
