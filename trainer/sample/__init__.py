"""A catalogue of made-up product photos, drawn from a seed, for a training without real photos."""
