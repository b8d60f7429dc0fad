"""Merges part files into results: lists for people, votes of products, drift, receipts."""
