"""How large, quick and right each of a bundle's models is, on this very machine."""
