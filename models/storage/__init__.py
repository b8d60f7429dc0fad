"""Storage in a folder or in S3: files are whole or absent, and the first to write one wins."""
