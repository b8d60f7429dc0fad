"""Shared statistics: intervals, calibration, thresholds, out-of-distribution score."""
