"""The model registry: versions, aliases such as ``champion``, and their history."""
