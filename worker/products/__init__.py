"""Photos of one product: what they say together."""
