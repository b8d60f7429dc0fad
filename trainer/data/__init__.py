"""Finds labelled photos on disk, decodes them once, and caches their pixels."""
