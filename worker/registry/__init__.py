"""The model registry on the command line."""
