"""How good a network is, how sure it may be, and which labels it doubts."""
