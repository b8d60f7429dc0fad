"""What is refused at the start; Celery's main process is told that a process of its has died."""

from pathlib import Path
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from billiard.exceptions import WorkerLostError

from models.errors import InputError
from worker.queue.app import CHUNK_TASK, FINISH_TASK
from worker.queue.metrics import DIED
from worker.queue.runner import make_app
from worker.queue.settings import QueueSettings
from worker.queue.start_worker import LoggedRequest, start_worker


def test_a_folder_of_jobs_whose_parent_is_away_is_refused_and_not_made(tmp_path: Path) -> None:
    share = tmp_path / "share"
    with pytest.raises(InputError, match=f"{share}/jobs"):
        start_worker(QueueSettings(jobs=f"{share}/jobs"), 1, as_json=False)
    assert not share.exists()


class Message:
    """A message of Celery's protocol 2, already decoded."""

    def __init__(self, task: str, arguments: list[Any]) -> None:
        self.headers = {"id": "cafe", "task": task, "lang": "py", "argsrepr": "", "kwargsrepr": "", "root_id": "cafe"}
        self.payload = (arguments, {}, {})
        self.body, self.content_type, self.content_encoding = "", "application/json", "utf-8"
        self.properties: dict[str, Any] = {"correlation_id": "cafe"}
        self.delivery_info: dict[str, Any] = {"redelivered": False}


def info_of(error: Exception) -> ExceptionInfo:
    try:
        raise error
    except Exception:  # noqa: BLE001 - whatever it is
        return ExceptionInfo()


@pytest.fixture
def fail(caplog: pytest.LogCaptureFixture):
    """Let a task fail; returned are what was logged, what became of the message, and the deaths that were counted."""

    def run(task: str, arguments: list[Any], error: Exception) -> tuple[list[dict[str, Any]], list[str], float]:
        ends, deaths = list[str](), DIED._value.get()
        with make_app(QueueSettings()) as app:
            app.finalize()
            request = LoggedRequest(
                Message(task, arguments),
                app=app,
                task=app.tasks[task],
                on_ack=lambda *_: ends.append("done with"),
                on_reject=lambda *a: ends.append("put back" if a[2] else "thrown away"),
                hostname="shop-7",
            )
            request.on_failure(info_of(error), send_failed_event=False)
        lines = [record.fields | {"event": record.event} for record in caplog.records if hasattr(record, "event")]
        return lines, ends, DIED._value.get() - deaths

    return run


@pytest.mark.parametrize(
    ("task", "arguments", "chunk"), [(CHUNK_TASK, ["spring", 17], 17), (FINISH_TASK, ["spring"], "")]
)
def test_a_lost_process_is_a_line_with_its_chunk_and_the_message_is_put_back(fail, task, arguments, chunk) -> None:
    lines, ends, deaths = fail(task, arguments, WorkerLostError("exited with signal 9"))
    assert lines == [{"event": "process_died", "job": "spring", "chunk": chunk, "reason": "exited with signal 9"}]
    assert (ends, deaths) == (["put back"], 1)
