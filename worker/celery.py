"""The Celery app for ``celery -A worker worker``. Its settings come from the environment."""

from worker.queue.runner import make_app
from worker.queue.settings import read_settings

app = make_app(read_settings())
