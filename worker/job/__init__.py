"""A job: the folder that holds its specification, its rows, its parts and its receipt."""
