"""Labels a catalogue with a bundle: one row in, one row out. Never imports TensorFlow."""
