"""A synthetic catalogue of product photos, for a training without real photos. A seed always gives the same photos."""
