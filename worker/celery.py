"""The Celery app for ``celery -A worker worker``, with settings from the environment."""

from worker.queue.settings import read_settings
from worker.queue.start_worker import make_app

app = make_app(read_settings())
