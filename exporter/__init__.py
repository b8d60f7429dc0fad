"""A Keras model in, a verified bundle out."""
