"""The Celery app, where ``celery -A worker worker`` looks for it; settings come from the environment."""

from models.telemetry import refuse_telemetry

refuse_telemetry()  # before what follows imports ONNX Runtime

from worker.queue.app import make_app  # noqa: E402
from worker.queue.settings import read_settings  # noqa: E402

__all__ = ["app"]

app = make_app(read_settings())
