"""Log lines: a stable event name with fields, as JSON for machines or as text for people."""

import json
import logging
import os
import sys
import time
from datetime import UTC, datetime
from typing import Final

from models.text import printable, without_secrets

_LOGGER: Final = logging.getLogger("hangtag")
_REPEAT_S: Final = 10.0


def log_event(event: str, level: int = logging.INFO, /, **fields: str | float) -> None:
    """Log an event, such as ``chunk_done`` with ``job`` and ``chunk``. Secrets in URLs are removed."""
    fields = {name: without_secrets(value) if isinstance(value, str) else value for name, value in fields.items()}
    text = " ".join([event, *(f"{name}={value}" for name, value in fields.items())])
    _LOGGER.log(level, "%s", text, extra={"event": event, "fields": fields})


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.name),
            **getattr(record, "fields", {"message": record.getMessage()}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _is_news(record: logging.LogRecord) -> bool:
    """Drops Celery's traceback of a lost process. The queue already logs ``process_died``."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or kind.__name__ != "WorkerLostError"


class _Repeats(logging.Filter):
    """Drops a line that repeats the previous line within 10 s. Celery tries to reach Redis seven times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._last = ""
        self._until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        text, now = record.getMessage(), time.monotonic()
        if text.startswith("Frequent restarts detected") or (text == self._last and now < self._until):
            return False
        self._last, self._until = text, now + _REPEAT_S
        return True


def start_logging(*, as_json: bool) -> None:
    """Log to a copy of stderr, so that the original can be redirected to discard output of C libraries."""
    handler = logging.StreamHandler(os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace"))
    text = _TextFormatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    handler.setFormatter(_JsonFormatter() if as_json else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    pool = logging.getLogger("multiprocessing")  # otherwise Celery adds its own handler to the logger of its processes
    pool.handlers, pool.propagate = [handler], False
    logging.getLogger("celery.app.trace").setLevel(logging.ERROR)
    logging.getLogger("celery.worker.request").addFilter(_is_news)
    logging.getLogger("celery.worker.consumer.consumer").addFilter(_Repeats())
    logging.getLogger("celery.worker.consumer.connection").setLevel(logging.WARNING)  # :**@, even without a password
    logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
    sys.stderr.flush()
