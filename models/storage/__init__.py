"""Places where what is written is whole, and the first to write it wins: a folder, or S3."""
