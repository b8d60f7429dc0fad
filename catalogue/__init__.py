"""Rows of catalogues in every format, and where a photo's bytes come from: disk, URL, bucket or cell."""
