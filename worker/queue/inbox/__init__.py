"""``hangtag watch``: the files of a folder become jobs, each once."""
