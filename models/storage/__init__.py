"""Storage in a folder or in S3. Each file is written whole or not at all, and the first writer wins."""
