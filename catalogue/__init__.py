"""Reads the rows of catalogues in every format, and their photos from disks, URLs, buckets and cells."""
