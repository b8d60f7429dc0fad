"""Chunks become parts: processes, photos that are taken as they come, and what happens when one ends a process."""
