"""Where catalogues come from: files of many kinds and encodings, folders, S3, and the web."""
