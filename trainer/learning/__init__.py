"""How a network learns: recipe, schedule, batches, augmentation, steps, epochs."""
