"""A job's folder: specification, catalogue rows, results by chunk, and receipt."""
