"""A job's parts become what people get: the result, the doubtful rows, the products."""
