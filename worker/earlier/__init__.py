"""Results of photos that were labelled before, by the SHA-256 of their bytes, so that each is labelled once."""
