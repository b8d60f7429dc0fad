"""Cost of a row as catalogues grow: time, memory of each process, bytes in Redis, files and requests.

The rows of a catalogue repeat a few photos, and a worker decodes each photo once. So the figures show the cost of a row
without decoding and the network. The folder of jobs is on disk, or in S3: a moto server on this machine. Moto is slow,
so only requests are measured in S3. ``python benchmarks/bench.py --only growth`` runs this module.
``python benchmarks/growth.py`` starts the moto server.
"""

import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Lock, Thread
from typing import Any
from urllib.request import Request, urlopen

from bulk import waiting_worker
from material import Material, hangtag
from measuring import PeakMemory, processor_s, run, wait_for
from redis import Redis

from models.storage.storage import open_storage
from worker.job.jobs import Jobs
from worker.job.receipt import finished_receipt

ROWS = (1_000, 10_000, 100_000, 1_000_000)
S3_ROWS = (1_000, 10_000)
DISTINCT = 16
COUNTS = "/_counts"
RECEIPT = "receipt.json"
MAIN, SLOT, MERGING = "worker: main process", "worker: labelling process", "merging"
WATCHED = (MAIN, SLOT, MERGING)


def measure(material: Material, show: Callable[[str], None]) -> dict[str, Any]:
    """Measure each size on disk and in S3."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        on_disk = [_on_disk(material, rows, folder, show) for rows in ROWS]
        in_s3 = [_in_s3(material, rows, folder, show) for rows in S3_ROWS]
    return {"photos": material.said(), "distinct_photos": DISTINCT, "on_disk": on_disk, "in_s3": in_s3}


def _on_disk(material: Material, rows: int, folder: Path, show: Callable[[str], None]) -> dict[str, Any]:
    show(f"{rows:,} rows, on disk")
    submit = submit_words(material, rows, folder, "rows")
    with waiting_worker(folder) as (environment, (redis_pid, worker_pid), jobs):
        _warm(material, folder, environment, jobs)
        redis = Redis.from_url(environment["HANGTAG_REDIS_URL"])
        redis.config_resetstat()
        before, idle_bytes = processor_s([worker_pid, redis_pid]), redis.info("memory")["used_memory"]
        memory, began = PeakMemory([worker_pid], every_s=0.05), time.monotonic()
        submitted = run(submit, environment)
        held: list[int] = []  # bytes at each poll
        job = Jobs(open_storage(str(jobs))).find("rows")
        wait_for("a receipt", lambda: held.append(redis.info("memory")["used_memory"]) or finished_receipt(job))
        seconds = time.monotonic() - began
        used = processor_s([worker_pid, redis_pid]) - before + submitted.processor_s
        memory.stop()
        files = [path for path in (jobs / "rows").rglob("*") if path.is_file()]
        chunks = job.spec.chunks
        return {
            "rows": rows,
            "chunks": chunks,
            "microseconds_per_row": _per(1e6 * seconds, rows),
            "processor_microseconds_per_row": _per(1e6 * used, rows),
            "memory_mb": {
                "hangtag submit": round(submitted.largest_mb),
                **{name: round(memory.largest_mb.get(depth, 0.0)) for depth, name in enumerate(WATCHED)},
            },
            "redis_bytes": max(0, max(held) - idle_bytes),
            "redis_commands_per_chunk": _per(redis.info("stats")["total_commands_processed"], chunks),
            "files_per_row": _per(len(files), rows),
            "bytes_per_row": _per(sum(path.stat().st_size for path in files), rows),
        }


def _in_s3(material: Material, rows: int, folder: Path, show: Callable[[str], None]) -> dict[str, Any]:
    show(f"{rows:,} rows, in S3")
    submit = submit_words(material, rows, folder, "rows")
    with counting_s3(folder) as (s3, counts), waiting_worker(folder, s3, "s3://bench/jobs") as (environment, _, _):
        os.environ.update(s3)
        jobs = Jobs(open_storage("s3://bench/jobs"))
        before = counts()
        run(submit, environment)
        submitted = counts() - before
        wait_for("a receipt in S3", lambda: counts()[RECEIPT], every_s=0.1)  # reading the folder would send requests
        made = counts() - before
        del made[RECEIPT]
        chunks = jobs.find("rows").spec.chunks
        return {
            "rows": rows,
            "chunks": chunks,
            "requests_per_row": _per(made.total(), rows),
            "requests_per_chunk": _per(made.total(), chunks),
            "of_submitting": submitted.total(),
            "by_method_per_chunk": {name: _per(count, chunks) for name, count in sorted(made.items())},
        }


def _per(count: float, of: int) -> float:
    return float(f"{count / of:.4g}")


def _catalogue(material: Material, rows: int, folder: Path) -> Path:
    names = [os.path.relpath(name, material.photos) for name in material.names[:DISTINCT]]
    catalogue = folder / f"rows-{rows}.csv"
    with catalogue.open("w", encoding="utf-8") as file:
        file.write("sku,title,price,image\n")
        for row, name in enumerate(islice(cycle(names), rows)):
            file.write(f"{row // 3:08},Product number {row // 3},{row % 997}.95,{name}\n")
    return catalogue


def submit_words(material: Material, rows: int, folder: Path, job: str) -> list[object]:
    """Write a catalogue of ``rows`` rows, three for each product; return the command that submits the catalogue."""
    catalogue = _catalogue(material, rows, folder)
    command = [sys.executable, "-m", "hangtag", "submit", catalogue, "--model", material.bundle]
    return [*command, "--variant", "float32", "--image-root", material.photos, "--group-column", "sku", "--job", job]


def _warm(material: Material, folder: Path, environment: dict[str, str], jobs: Path) -> None:
    hangtag(*submit_words(material, 512, folder, "warm")[3:], environment=os.environ | environment)
    job = Jobs(open_storage(str(jobs))).find("warm")
    wait_for("a receipt", lambda: finished_receipt(job))


@contextmanager
def counting_s3(folder: Path) -> Iterator[tuple[dict[str, str], Callable[[], Counter[str]]]]:
    """Start an S3 on this machine; yield environment variables, and a function that counts receipts and requests."""
    process = Popen([sys.executable, __file__], stdin=PIPE, stdout=PIPE, text=True)
    try:
        said: Any = process.stdout
        endpoint = f"http://127.0.0.1:{int(said.readline())}"
        environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        with urlopen(Request(f"{endpoint}/bench", method="PUT"), timeout=10):  # noqa: S310
            pass

        def counts() -> Counter[str]:
            with urlopen(endpoint + COUNTS, timeout=10) as answer:  # noqa: S310
                return Counter(json.loads(answer.read()))

        yield environment, counts
    finally:
        process.communicate(timeout=20)


def _serve() -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    moto, counted, lock = DomainDispatcherApplication(create_backend_app), Counter[str](), Lock()

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == COUNTS:
            start("200 OK", [])
            return [json.dumps(counted).encode()]
        with lock:  # one request at a time keeps conditional writes atomic
            counted["LIST" if "list-type" in environ["QUERY_STRING"] else environ["REQUEST_METHOD"]] += 1
            answer = list(moto(environ, start))
            counted[RECEIPT] += environ["REQUEST_METHOD"] == "PUT" and environ["PATH_INFO"].endswith(RECEIPT)
            return answer

    class Quiet(MotoRequestHandler):
        def log(self, *_: object) -> None: ...

    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    Thread(target=server.serve_forever, daemon=True).start()
    print(server.port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve()
