"""Reads the rows of catalogues in every format, and photos from disks, URLs, buckets and table cells."""
