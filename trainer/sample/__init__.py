"""A catalogue of drawn product photos, for a training without real photos. The seed decides the photos."""
