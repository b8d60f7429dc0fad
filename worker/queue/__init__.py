"""The queue: Celery and Redis carry a job's chunks to any number of workers; the job's folder holds the truth."""
