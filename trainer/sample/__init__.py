"""A catalogue of drawn product photos, for a training without real photos. The same seed draws the same photos."""
