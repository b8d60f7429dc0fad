"""Labels a job's chunks: process pool, batches of photos, and photos that crash their process."""
