"""The reports of a training: an HTML page, a model card, and their pictures."""
