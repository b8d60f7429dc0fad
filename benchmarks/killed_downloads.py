"""Kill a worker while it downloads; print log lines and metrics of two workers.

    python benchmarks/killed_downloads.py [--rows 4000] [--photos PHOTOS --model BUNDLE] [--delay 0.2]

Two workers label photos of a slow local server. After a few chunks, one worker is killed with all its processes
(SIGKILL) while it has unfinished chunks, and is not restarted. Each row is compared with the result of ``hangtag
label`` for the same file. Exit status 1 if a row is missing, doubled or wrong.
"""

import argparse
import csv
import json
import math
import os
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pyarrow.parquet as pq
import redis
from material import hangtag, make_material, material_parser, photo_list
from prometheus_client.parser import text_string_to_metric_families
from workers import Workers

from models.process import Owner
from models.storage.storage import FolderStorage
from worker.job.jobs import Jobs
from worker.queue.private_redis import PrivateRedis
from worker.queue.redis_state import connect
from worker.queue.settings import QueueSettings

NAMES = ("killed", "other")
SLOTS = 2
DONE_BEFORE = 4
SHOWN = ("images", "photos", "downloaded_bytes", "download_seconds", "chunks", "processes_died", "job_rows")
EVENTS = {"chunk_done", "chunk_failed", "process_died", "slot_started", "downloads_failing", "job_finished"}
SAME = ("label", "status", "error", "sha256")


def main() -> None:
    """Kill a worker once."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        photos, model = make_material(arguments.photos, arguments.model, folder)
        expected = _expected(folder, photos, model)
        host = stack.enter_context(_slow_server(photos, arguments.delay))
        catalogue, asked = _write_catalogue(folder, photos, host, list(expected), arguments.rows)
        server = stack.enter_context(PrivateRedis(folder / "redis"))
        settings = QueueSettings(redis_url=server.url, jobs=str(folder / "jobs"))
        cluster = {name: stack.enter_context(_Watched(name, folder, settings)) for name in NAMES}
        queue = ("--redis", settings.redis_url, "--jobs", settings.jobs)
        hangtag("submit", catalogue, "--model", model, "--job", "job", "--allow-host", host, *queue)
        killed_at, in_hand = _kill(cluster, settings)
        seconds = _wait_for_end(folder / "jobs" / "job" / "receipt.json", arguments.limit)
        verdict = _verdict(folder / "jobs" / "job" / "labels.parquet", asked, expected)
        _report(cluster, killed_at, in_hand)
    print(json.dumps({**verdict, "seconds_after_the_kill": round(seconds, 1)}))
    sys.exit(any(verdict[name] for name in ("missing", "doubled", "wrong")))


def _arguments() -> argparse.Namespace:
    parser = material_parser(__doc__)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--delay", type=float, default=0.2, help="the server's delay for each photo, in seconds")
    parser.add_argument("--limit", type=float, default=600, help="time limit of the job after the kill, in seconds")
    return parser.parse_args()


def _expected(folder: Path, photos: Path, model: Path) -> dict[str, dict[str, Any]]:
    output = folder / "expected.parquet"
    hangtag("label", photos, "--model", model, "--out", output)
    rows = pq.read_table(output).to_pylist()
    known = {str(Path(path).relative_to(photos.resolve())) for path in photo_list(photos)}
    return {row["image"]: row for row in rows if row["image"] in known and row["status"] != "failed"}


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Ignore connections of the killed worker."""


@contextmanager
def _slow_server(photos: Path, delay_s: float) -> Iterator[str]:
    class Slow(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            time.sleep(delay_s)
            with suppress(ConnectionError):  # the worker was killed
                super().do_GET()

        def log_message(self, *_: object) -> None:
            """Log no requests."""

    server = _QuietServer(("127.0.0.1", 0), partial(Slow, directory=str(photos)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _write_catalogue(folder: Path, photos: Path, host: str, names: list[str], rows: int) -> tuple[Path, dict[str, str]]:
    asked = {f"{row:08}": names[row % len(names)] for row in range(rows)}
    catalogue = folder / "catalogue.csv"
    with catalogue.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image"])
        writer.writerows((row, f"http://{host}/{quote(name)}?row={row}") for row, name in asked.items())
    return catalogue, asked


class _Watched(Workers):
    def __init__(self, name: str, folder: Path, settings: QueueSettings) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = listener.getsockname()[1]
        self._log = folder / name / "worker-0.log"
        self.before: Counter[str] = Counter()
        environment = {
            "HANGTAG_REDIS_URL": settings.redis_url,
            "HANGTAG_JOBS": settings.jobs,
            "HANGTAG_METRICS_PORT": str(self._port),
        }
        super().__init__(1, folder / name, environment, SLOTS)

    def metrics(self) -> Counter[str]:
        try:
            with urlopen(f"http://127.0.0.1:{self._port}/metrics") as answer:
                families = list(text_string_to_metric_families(answer.read().decode()))
        except OSError:
            return Counter()
        samples = (sample for family in families for sample in family.samples if sample.value)
        return Counter(
            {
                f"{sample.name}{{{','.join(f'{key}={value!r}' for key, value in sample.labels.items() if value)}}}": (
                    sample.value
                )
                for sample in samples
                if sample.name.removeprefix("hangtag_").startswith(SHOWN)
            }
        )

    def lines(self) -> list[dict[str, Any]]:
        texts = self._log.read_text(errors="replace").splitlines()
        lines = (json.loads(text) for text in texts if text.startswith("{"))
        return [line for line in lines if line["event"] in EVENTS]


def _kill(cluster: dict[str, _Watched], settings: QueueSettings) -> tuple[str, list[int]]:
    job = Jobs(FolderStorage(Path(settings.jobs))).find("job")
    victim = cluster["killed"]
    client = connect(settings)
    while True:
        time.sleep(0.1)
        done = job.spec.chunks - len(job.missing_chunks())
        held = [chunk for chunk in job.missing_chunks() if _holds(victim, client, chunk)]
        if done >= DONE_BEFORE and held and victim.metrics():
            break
        if done == job.spec.chunks:
            sys.exit("the job ended before a worker could be killed; increase --rows or --delay")
    for worker in cluster.values():
        worker.before = worker.metrics()
    victim.kill_one_worker(Random())
    return time.strftime("%H:%M:%S", time.gmtime()), held


def _holds(worker: _Watched, client: redis.Redis, chunk: int) -> bool:
    lease = client.get(f"hangtag:lease:job:{chunk}")
    return bool(lease) and os.getpgid(Owner.from_json(str(lease)).pid) in worker.main_pids()


def _wait_for_end(receipt: Path, limit_s: float) -> float:
    start = time.monotonic()
    while not receipt.exists():
        if time.monotonic() > start + limit_s:
            sys.exit("the job did not end in time")
        time.sleep(0.1)
    return time.monotonic() - start


def _verdict(result: Path, asked: dict[str, str], expected: dict[str, dict[str, Any]]) -> dict[str, int]:
    rows = pq.read_table(result).to_pylist()
    seen = Counter(row["id"] for row in rows)
    return {
        "rows": len(rows),
        "missing": sum(name not in seen for name in asked),
        "doubled": sum(count - 1 for count in seen.values()),
        "wrong": sum(not _same(row, expected[asked[row["id"]]]) for row in rows),
        "failed": sum(row["status"] == "failed" for row in rows),
    }


def _same(row: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Compare two rows. Probabilities may differ in the last digits, because batches differ."""
    near = row["confidence"] is not None and math.isclose(row["confidence"], expected["confidence"], abs_tol=1e-5)
    return near and all(row[name] == expected[name] for name in SAME)


def _report(cluster: dict[str, _Watched], killed_at: str, in_hand: list[int]) -> None:
    print(f"killed at {killed_at} UTC with unfinished chunks {in_hand}")
    for name, worker in cluster.items():
        print(f"\nlog of the {name} worker")
        for line in worker.lines():
            print(json.dumps(line))
    for name, worker in cluster.items():
        after = worker.metrics()
        print(f"\nmetrics of the {name} worker: before the kill, at the end")
        for key in sorted(worker.before.keys() | after.keys()):
            print(f"{key:60} {worker.before[key]:14.6g} {f'{after[key]:14.6g}' if after else '             –'}")


if __name__ == "__main__":
    main()
