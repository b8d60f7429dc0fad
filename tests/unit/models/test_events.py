"""Logging is set up for a whole process, so each test runs in its own process."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta


def logged(code: str, *, as_json: bool = True) -> list[str]:
    start = (
        "import logging, os, sys\n"
        "from models.events import log_event, start_logging\n"
        f"start_logging(as_json={as_json})\n"
    )
    done = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_an_event_is_a_line_of_json_whatever_is_in_its_fields() -> None:
    code = r"log_event('chunk_failed', logging.ERROR, error='one\ntwo \udc80 \u65e5'); log_event('x', logging.DEBUG);"
    failed, line = logged(f"{code} log_event('chunk_done', job='spring', chunk=17, seconds=0.5)")
    assert (json.loads(failed)["error"], json.loads(failed)["level"]) == ("one\ntwo \udc80 日", "error")
    record = json.loads(line)
    moment = datetime.fromisoformat(record.pop("time"))
    assert timedelta(0) <= datetime.now(UTC) - moment < timedelta(minutes=1)
    assert record == {"level": "info", "event": "chunk_done", "job": "spring", "chunk": 17, "seconds": 0.5}


def test_people_get_text() -> None:
    (line,) = logged("log_event('chunk_done', job='spring', chunk=17)", as_json=False)
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO chunk_done job=spring chunk=17", line)


def test_what_others_log_has_its_loggers_name_and_its_traceback() -> None:
    code = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    logging.getLogger('kombu').exception('oh %s', 'no')"
    record = json.loads(logged(code)[0])
    assert (record["event"], record["message"], record["level"]) == ("kombu", "oh no", "error")
    assert record["traceback"].splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_a_lost_process_is_not_celerys_traceback_but_other_errors_are() -> None:
    code = (
        "from billiard.exceptions import WorkerLostError\n"
        "logger = logging.getLogger('celery.worker.request')\n"
        "for error in (WorkerLostError('gone'), ValueError('wrong')):\n"
        "    try:\n        raise error\n"
        "    except Exception as caught:\n        logger.error('task failed', exc_info=caught)\n"
        "logger.error('no exception at all')"
    )
    records = [json.loads(line) for line in logged(code)]
    assert [record["traceback"].splitlines()[-1] for record in records[:-1]] == ["ValueError: wrong"]
    assert records[-1]["message"] == "no exception at all"


def test_logging_outlives_a_closed_stderr() -> None:
    code = "os.dup2(os.open(os.devnull, os.O_WRONLY), 2); os.write(2, b'libtiff: odd tag'); log_event('chunk_done')"
    (line,) = logged(code)
    assert json.loads(line)["event"] == "chunk_done"


def test_what_celery_says_again_and_again_is_logged_once() -> None:
    code = (
        "logger = logging.getLogger('celery.worker.consumer.consumer')\n"
        "for word in ('away', 'away', 'back', 'away'):\n"
        "    logger.error('Redis is %s', word)\n"
        "    logger.critical('Frequent restarts detected: %r', 5)\n"
    )
    assert [json.loads(line)["message"] for line in logged(code)] == ["Redis is away", "Redis is back", "Redis is away"]


def test_celerys_line_with_a_password_that_redis_does_not_have_is_left_out() -> None:
    assert not logged("logging.getLogger('celery.worker.consumer.connection').info('Connected to redis://:**@host')")
