"""Trains a network: recipe, schedule, batches, augmentation, steps, epochs."""
