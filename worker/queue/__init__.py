"""The queue: Celery and Redis send a job's chunks to workers. The job's folder is the source of truth."""
