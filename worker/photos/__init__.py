"""The bytes of the photos that catalogue rows name: from a disk, from HTTP, from S3, out of the cell itself."""
