"""A network that computes with 8-bit integers, as long as its labels do not suffer."""
