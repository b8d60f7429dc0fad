"""``hangtag retrain``: a cycle of new photos and corrections, a challenger, a gate, and a champion."""
