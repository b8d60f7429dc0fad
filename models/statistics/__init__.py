"""Statistics that every room shares: intervals, calibration, thresholds, out-of-distribution score."""
