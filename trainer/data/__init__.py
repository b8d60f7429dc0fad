"""Labelled photos on disk, and their pixels: found, decoded once, kept, and made ready for learning."""
