"""``POST /v1/classify`` under load, compared with ``hangtag label``: the same photos, bundle and cores.

    python benchmarks/web_load.py --photos PHOTOS --model BUNDLE [--clients 50] [--seconds 60] [--body image|form]

``hangtag label`` runs first and last, and the clients run in between, so that a drift of the machine's speed affects
both. Clients and server share this machine's cores, so there are three ratios. The first ratio compares the plain
rates. The second compares the rates per core, without the clients' share of the cores (idle cores still count against
the server). The third compares CPU milliseconds a photo of the server's processes and of ``hangtag label`` without its
start. Without ``--photos`` and ``--model``, photos are rendered and a model is trained first.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psutil
from material import make_material, material_parser, photo_list, readable_photos, write_distinct

HOST, PORT = "127.0.0.1", 8891
BOUNDARY = "a-boundary-that-no-photo-holds"
WARM_S = 5.0


@dataclass(frozen=True)
class Labelled:
    """A run of ``hangtag label``: photos a second of its labelling phase, and CPU milliseconds a photo."""

    rate: float
    cpu_ms: float


@dataclass
class Load:
    """The clients' results."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int | str] = field(default_factory=Counter)
    failed_photos: int = 0


def main() -> None:
    """Label, send requests, label again, and print."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        photos, model = make_material(arguments.photos, arguments.model, Path(scratch))
        originals = readable_photos(photos)
        few, many = Path(scratch) / "few", Path(scratch) / "many"
        write_distinct(few, originals, range(arguments.labeled // 8))
        write_distinct(many, originals, range(arguments.labeled))
        before = _label(few, many, model)
        with _server(model, Path(scratch)) as server:
            _report_load(server, originals, arguments, before)
        after = _label(few, many, model)
    print(f"label afterwards: {after.rate:,.0f} photos/s, {after.cpu_ms:.2f} CPU ms a photo")


def _arguments() -> argparse.Namespace:
    parser = material_parser(__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--labeled", type=int, default=6000)
    parser.add_argument("--each", type=int, default=1, help="photos in a request")
    parser.add_argument("--body", choices=("image", "form"), default="image")
    arguments = parser.parse_args()
    if arguments.each > 1:
        arguments.body = "form"
    return arguments


def _label(few: Path, many: Path, model: Path) -> Labelled:
    """Label few photos and then many: the difference leaves out the command's start."""
    (start, start_s, _), (images, cpu_s, rate) = _run(few, model), _run(many, model)
    return Labelled(rate, 1000 * (cpu_s - start_s) / (images - start))


def _run(photos: Path, model: Path) -> tuple[int, float, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = photos.with_name(f"{time.time_ns()}.parquet")
    command = [sys.executable, "-m", "hangtag", "label", str(photos), "--model", str(model), "--out", str(output)]
    said = json.loads(subprocess.run([*command, "--json"], stdout=subprocess.PIPE, check=True).stdout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return len(photo_list(photos)), cpu_s, said["images_per_s"]


@contextmanager
def _server(model: Path, scratch: Path) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "hangtag", "web", "--port", str(PORT), "--model", str(model)]
    places = ["--jobs", str(scratch / "jobs"), "--corrections", str(scratch / "corrections.csv")]
    with subprocess.Popen([*command, *places], stdout=subprocess.DEVNULL) as process:
        try:
            while not _is_ready():
                time.sleep(0.2)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def _is_ready() -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{PORT}/readyz", timeout=2):
            return True
    except OSError:
        return False


def _report_load(
    server: psutil.Process, originals: list[bytes], arguments: argparse.Namespace, label: Labelled
) -> None:
    asyncio.run(_all(originals, arguments, WARM_S))
    memory, cpu, own = _memory_mb(server), _cpu_s(server), time.process_time()
    start = time.monotonic()
    load = asyncio.run(_all(originals, arguments, arguments.seconds))
    seconds = time.monotonic() - start
    cpu, own, later = _cpu_s(server) - cpu, time.process_time() - own, _memory_mb(server)
    answered = load.statuses[200] * arguments.each
    rate, cpu_ms = answered / seconds, 1000 * cpu / answered
    quantiles = statistics.quantiles(load.seconds, n=100)
    cores = len(os.sched_getaffinity(0))
    print(f"{arguments.clients} clients, {arguments.each} photo(s) a request as {arguments.body}, {seconds:.0f} s")
    print(f"answers: {dict(load.statuses)}, photos that failed: {load.failed_photos}")
    print(f"p50 {quantiles[49] * 1000:.0f} ms, p99 {quantiles[98] * 1000:.0f} ms")
    print(f"resident memory of the server's processes: {memory:.0f} MB, afterwards {later:.0f} MB")
    print(f"label before:  {label.rate:,.0f} photos/s, {label.cpu_ms:.2f} CPU ms a photo ({cores} cores)")
    print(f"server:        {rate:,.0f} photos/s, {cpu_ms:.2f} CPU ms a photo; clients {1000 * own / answered:.2f}")
    left = cores - own / seconds
    print(
        f"server / label, photos/s a core: {rate / label.rate:.2f} on all cores; "
        f"{rate / left / (label.rate / cores):.2f} without the clients' cores ({left:.2f} of {cores} remain); "
        f"{label.cpu_ms / cpu_ms:.2f} by CPU time"
    )


def _memory_mb(server: psutil.Process) -> float:
    return sum(process.memory_info().rss for process in (server, *server.children(recursive=True))) / 1e6


def _cpu_s(server: psutil.Process) -> float:
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    return sum(one.user + one.system for one in times)


async def _all(originals: list[bytes], arguments: argparse.Namespace, seconds: float) -> Load:
    load, numbers, until = Load(), count(int(time.time() * 1000) << 8), time.monotonic() + seconds
    clients = [_client(load, originals, numbers, arguments, until) for _ in range(arguments.clients)]
    await asyncio.gather(*clients)
    return load


async def _client(
    load: Load, originals: list[bytes], numbers: Iterator[int], arguments: argparse.Namespace, until: float
) -> None:
    """Send requests one after another on one connection, without an HTTP library, which would need much CPU."""
    reader, writer = await asyncio.open_connection(HOST, PORT)
    while time.monotonic() < until:
        drawn = [next(numbers) for _ in range(arguments.each)]
        photos = [originals[n % len(originals)] + n.to_bytes(8, "big") for n in drawn]
        start = time.monotonic()
        writer.write(_request(photos, arguments.body))
        status, body = await _answer(reader)
        load.seconds.append(time.monotonic() - start)
        load.statuses[status] += 1
        load.failed_photos += body.count(b'"status": "failed"')
        if status == 429:
            await asyncio.sleep(0.1)
    writer.close()


def _request(photos: list[bytes], body: str) -> bytes:
    if body == "image":
        kind, sent = "image/jpeg", photos[0]
    else:
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="p.jpg"\r\n\r\n'.encode()
        sent = b"".join([*(head + photo + b"\r\n" for photo in photos), f"--{BOUNDARY}--\r\n".encode()])
    lines = f"POST /v1/classify HTTP/1.1\r\nHost: {HOST}:{PORT}\r\nContent-Type: {kind}\r\n"
    return f"{lines}Content-Length: {len(sent)}\r\n\r\n".encode() + sent


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    return int(head.split(None, 2)[1]), await reader.readexactly(length)


if __name__ == "__main__":
    main()
