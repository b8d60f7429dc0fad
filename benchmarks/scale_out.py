"""More labelling processes: measured on this machine's cores, then modelled up to 1,000 and checked by simulation.

A simulated process runs Hangtag's own code against a real Redis: it takes a message and the chunk's lease, commits a
part and releases the lease. Only the labelling is left out. These runs give a chunk's cost for Redis and the
reconciler; the part ``growth`` gives its requests to S3. ``python benchmarks/bench.py --only scale_out`` runs it.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Event, Thread
from typing import Any

from growth import submit_words
from material import Material, hangtag
from measuring import processor_s, run, spread, turns
from redis import Redis

from models.process import Owner
from models.storage.storage import FolderStorage
from worker.job.jobs import Jobs
from worker.job.parts import part_key
from worker.queue.app import HangtagCelery
from worker.queue.private_redis import PrivateRedis
from worker.queue.reconciler import AT_ONCE, WINDOW_PER_SLOT, Reconciler
from worker.queue.redis_state import QUEUES, Presence, RedisState, connect, parse_message
from worker.queue.settings import QueueSettings, read_settings
from worker.queue.submit import CHUNK_ROWS

PROCESSES = (1, 2, 4)
TURNS = 3
SIMULATED = {10: 1_000, 100: 3_000, 1_000: 6_000}
"""Labelling processes → chunks of the job that they are given."""
MODELLED = (10, 100, 1_000)
SIMULATORS = 2
LIMIT_S = 120.0
S3_MS = 15.0
"""An assumption: what a small request of S3 takes within its region."""
S3_PUTS_PER_S, S3_GETS_PER_S = 3_500, 5_500
"""A second and prefix; source: Amazon S3 User Guide, "Best practices design patterns: optimizing performance"."""


def measure(
    material: Material, small: Material, growth: Mapping[str, Any], show: Callable[[str], None]
) -> dict[str, Any]:
    """Real processes, simulated processes, and the model; ``growth`` is this part of the results."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)

        def label(processes: int) -> float:
            output = Path(tempfile.mkdtemp(dir=folder)) / "labels.parquet"
            command = [sys.executable, "-m", "hangtag", "label", material.photos, "--model", material.bundle]
            ran = run([*command, "--variant", "float32", "--out", output, "--workers", processes, "--json"])
            return float(json.loads(ran.said)["images_per_s"])

        found = turns({f"{n}": lambda n=n: label(n) for n in PROCESSES}, TURNS, show)
        simulated = [_simulated(small, number, chunks, folder, show) for number, chunks in SIMULATED.items()]
    per_process = spread(found["1"])
    return {
        "photos": material.said(),
        "turns": TURNS,
        "images_per_s": {name: spread(values) for name, values in found.items()},
        "window_per_process": WINDOW_PER_SLOT,
        "simulated": simulated,
        "model": _model(per_process["median"], simulated, growth),
    }


def _model(images_per_s: float, simulated: list[dict[str, Any]], growth: Mapping[str, Any]) -> dict[str, Any]:
    """The share of each resource that numbers of processes would take; 1 is all of it.

    The reconciler asks the storage about each chunk before it queues it.
    """
    largest = simulated[-1]
    redis_s, send_s = largest["redis_ms_per_chunk"] / 1e3, largest["send_ms_per_chunk"] / 1e3
    s3 = growth["in_s3"][-1]["by_method_per_chunk"]
    puts = s3.get("PUT", 0.0) + s3.get("POST", 0.0) + s3.get("DELETE", 0.0)
    gets = s3.get("GET", 0.0) + s3.get("HEAD", 0.0) + s3.get("LIST", 0.0)
    per_chunk = {
        "Redis's one core": redis_s,
        "the reconciler's passes, a folder on a disk": send_s,
        f"the reconciler's passes, S3 at {S3_MS:g} ms a request, {AT_ONCE} at once": send_s + S3_MS / 1e3 / AT_ONCE,
        f"S3's writes of one prefix ({S3_PUTS_PER_S:,} a second)": puts / S3_PUTS_PER_S,
        f"S3's reads of one prefix ({S3_GETS_PER_S:,} a second)": gets / S3_GETS_PER_S,
    }
    chunks_per_s = images_per_s / CHUNK_ROWS
    return {
        "chunk_rows": CHUNK_ROWS,
        "chunks_per_s_of_a_process": float(f"{chunks_per_s:.4g}"),
        "shares": {
            name: {str(n): float(f"{n * chunks_per_s * seconds:.3g}") for n in MODELLED}
            for name, seconds in per_chunk.items()
        },
        "processes_until_full": {
            name: int(1 / (chunks_per_s * seconds)) for name, seconds in per_chunk.items() if seconds
        },
        "full_with_one_request_at_once": int(1 / (chunks_per_s * (send_s + S3_MS / 1e3))),
    }


def _simulated(
    material: Material, processes: int, chunks: int, folder: Path, show: Callable[[str], None]
) -> dict[str, Any]:
    """Measure the cost of a job's chunks with simulated processes."""
    show(f"{processes:,} simulated processes, {chunks:,} chunks")
    with tempfile.TemporaryDirectory(dir=folder) as place, PrivateRedis(Path(place) / "redis") as server:
        jobs = Path(place) / "jobs"
        environment = {"HANGTAG_REDIS_URL": server.url, "HANGTAG_JOBS": str(jobs)}
        # A long time limit for a photo makes chunks of few rows, so that a job of many chunks is written quickly.
        submit = [*submit_words(material, chunks * 3, folder, "sim"), "--decode-timeout", "1000"]
        hangtag(*submit[3:], environment=os.environ | environment)
        job = Jobs(FolderStorage(jobs)).find("sim")
        redis = Redis.from_url(server.url)
        redis.config_resetstat()
        words = [sys.executable, __file__, server.url, str(jobs), str(processes)]
        with ExitStack() as running:
            for part in range(SIMULATORS):
                running.enter_context(_program([*words, str(part)]))
            began, used = time.monotonic(), processor_s([server.pid])
            reconciling = running.enter_context(_program(words))
            while job.missing_chunks() and time.monotonic() - began < LIMIT_S:
                time.sleep(0.2)
            seconds, done = time.monotonic() - began, job.spec.chunks - len(job.missing_chunks())
            used = processor_s([server.pid]) - used
            commands = redis.info("stats")["total_commands_processed"]
            passes = json.loads(reconciling.communicate("")[0])
        sent, took = sum(one[0] for one in passes), [one[1] for one in passes]
        return {
            "processes": processes,
            "chunks": done,
            "chunks_per_s": float(f"{done / seconds:.4g}"),
            "most_by_the_window": WINDOW_PER_SLOT * processes,
            "redis_commands_per_chunk": float(f"{commands / done:.4g}"),
            "redis_ms_per_chunk": float(f"{1e3 * used / done:.4g}"),
            "redis_share": float(f"{used / seconds:.3g}"),
            "send_ms_per_chunk": float(f"{1e3 * sum(took) / max(1, sent):.4g}"),
            "passes": len(passes),
            "longest_pass_s": round(max(took, default=0.0), 3),
        }


@contextmanager
def _program(words: list[str]) -> Iterator[Popen[str]]:
    """Start a program, wait for its line that it is ready, and kill it at the end of the block."""
    with Popen(words, stdin=PIPE, stdout=PIPE, text=True) as process:
        process.stdout.readline()  # type: ignore[union-attr]
        try:
            yield process
        finally:
            process.kill()


def _owners(processes: int) -> list[Owner]:
    return [Owner(f"simulated-{n}", "elsewhere", n + 1, 1) for n in range(processes)]


def _simulate(settings: QueueSettings, jobs: Jobs, owners: list[Owner]) -> None:
    """Run simulated labelling processes, a thread each, until stdin ends."""

    def work(owner: Owner) -> None:
        with closing(connect(settings)) as redis:
            state = RedisState(redis)
            while True:
                taken: Any = redis.brpop(list(QUEUES.values()), timeout=1)
                message = parse_message(taken[1]) if taken else None
                if message and message[1] >= 0:
                    _label(jobs, state, owner, *message)

    for owner in owners:
        Thread(target=work, args=(owner,), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


def _label(jobs: Jobs, state: RedisState, owner: Owner, name: str, chunk: int) -> None:
    storage = jobs.storage(name)
    if state.take_lease(name, chunk, owner):
        if not storage.exists(part_key(chunk)):
            storage.commit(part_key(chunk), b"simulated")
        state.end_lease(name, chunk, owner)
        state.reset_backoff(name)


def _reconcile(settings: QueueSettings, jobs: Jobs, owners: list[Owner]) -> None:
    """Each second, announce all processes and make the pass of each; print the passes' queued chunks and time."""
    passes: list[tuple[int, float]] = []
    ended = Event()
    Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    print("ready", flush=True)
    with closing(RedisState(connect(settings))) as state, HangtagCelery(settings) as app:
        reconciler, identity = Reconciler(jobs, state, app.send), jobs.identity()
        while not ended.is_set():
            began = time.monotonic()
            for owner in owners:
                state.announce(Presence(owner, 1, "simulated", jobs.place, identity))
                start = time.monotonic()
                if sent := reconciler.tick():
                    passes.append((sent, time.monotonic() - start))
            ended.wait(max(0.0, 1.0 - (time.monotonic() - began)))
    print(json.dumps(passes))


def _main(url: str, place: str, processes: str, *part: str) -> None:
    settings, jobs, owners = read_settings(url, place), Jobs(FolderStorage(Path(place))), _owners(int(processes))
    if part:
        _simulate(settings, jobs, owners[int(*part) :: SIMULATORS])
    else:
        _reconcile(settings, jobs, owners)


if __name__ == "__main__":
    _main(*sys.argv[1:])
