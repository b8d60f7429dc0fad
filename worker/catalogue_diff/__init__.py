"""Two models on some rows of a catalogue: whose labels would change, and to what."""
