"""A bundle and a catalogue in, one labelled row per catalogue row out. Never imports TensorFlow."""
