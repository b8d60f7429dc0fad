"""``hangtag retrain``: collects photos and corrections, trains a challenger, tests it, and may promote it."""
