"""Merges part files into results: review lists, product votes, drift, receipts."""
