"""The cycle: new images and corrections in, a challenger, a gate, a champion. ``hangtag retrain``."""
