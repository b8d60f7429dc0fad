"""Reads catalogues and their photos."""
