"""The model, its bundle, and its preprocessing. Never imports TensorFlow."""
