"""Reads catalogues in every format, and their photos from disks, URLs, buckets and table cells."""
