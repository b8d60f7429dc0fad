"""Labels chunks: a process pool, the batches of photos, and what happens when a photo kills its process."""
