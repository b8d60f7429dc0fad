"""Kill processes and Redis again and again during a job, and check that each row has exactly one correct result.

    python benchmarks/chaos.py --seed 1 [--rows 60000] [--photos PHOTOS --model BUNDLE] [--no-calm] [--limit 1800]

Two workers label a catalogue. Two of its photos crash their process, and a third photo hangs. Random faults: kill a
process of a worker, kill a whole worker, kill and restart Redis (with or without its data), wipe Redis, cut all
connections. Each row is compared with the result of ``hangtag label`` for the same photos. Exit status 1 if a row is
missing, doubled or wrong, or if a good photo's row failed.
"""

import argparse
import contextlib
import csv
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import redis
from material import distinct_name, hangtag, make_material, material_parser, readable_photos, write_distinct
from workers import Workers

from worker.queue.private_redis import PrivateRedis
from worker.queue.submit import CHUNK_ROWS

PLUGINS = Path(__file__).parents[1] / "tests" / "plugins"
DISTINCT = 20_000
"""Number of distinct photos. Later rows repeat these photos."""
MEAN_PAUSE_S = 1.2
FAULTS = {"child killed": 40, "worker killed": 20, "redis killed": 14, "redis wiped": 12, "connections cut": 14}
RESULTS = ("id", "label", "confidence", "status", "error", "sha256")


def main() -> None:
    """Run one seed."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        photos, model = make_material(arguments.photos, arguments.model, arguments.material or folder)
        write_distinct(folder / "photos", readable_photos(photos), range(min(arguments.rows, DISTINCT)))
        expected = _expected(folder, folder / "photos", model)
        catalogue, bad = _write_catalogue(folder, arguments.rows, random.Random(arguments.seed))
        calm = _run(folder / "calm", catalogue, model, None, arguments.limit)[0] if arguments.calm else None
        seconds, faults = _run(folder / "chaos", catalogue, model, random.Random(arguments.seed), arguments.limit)
        verdict = _verdict(folder / "chaos" / "jobs" / "job", catalogue, bad, expected)
    ratio = {"calm_s": round(calm, 1), "ratio": round(seconds / calm, 2)} if calm else {}
    print(json.dumps({"seed": arguments.seed, **verdict, "seconds": round(seconds, 1), **ratio, "faults": faults}))
    sys.exit(any(verdict[name] for name in ("missing", "doubled", "wrong")) or not verdict["failed_as_expected"])


def _arguments() -> argparse.Namespace:
    parser = material_parser(__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument(
        "--material", type=Path, help="folder of rendered photos and the trained model, reused by the next run"
    )
    parser.add_argument("--limit", type=float, default=1800, help="time limit of a job, in seconds")
    parser.add_argument("--calm", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args()


def _write_catalogue(folder: Path, rows: int, chance: random.Random) -> tuple[Path, dict[str, str]]:
    """Write a CSV of ``id,image``; return its path, and the expected error of each bad photo by id."""
    names = {"boom-1.jpg": b"BOOM", "boom-2.jpg": b"BOOM", "hang.jpg": b"HANG"}
    for name, data in names.items():
        (folder / name).write_bytes(data)
    first = chance.randrange(rows)
    neighbour = min(rows - 1, first - first % CHUNK_ROWS + chance.randrange(CHUNK_ROWS))
    places = {first: "boom-1.jpg"}
    for name, place in (("boom-2.jpg", neighbour), ("hang.jpg", chance.randrange(rows))):
        places[next(row for row in range(place, place + rows) if row % rows not in places) % rows] = name
    catalogue = folder / "catalogue.csv"
    with catalogue.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image"])
        writer.writerows(
            (f"{row:08}", places.get(row, f"photos/{distinct_name(row % DISTINCT)}")) for row in range(rows)
        )
    errors = {"boom-1.jpg": "crashed", "boom-2.jpg": "crashed", "hang.jpg": "timeout"}
    return catalogue, {f"{row:08}": errors[name] for row, name in places.items()}


def _expected(folder: Path, photos: Path, model: Path) -> dict[str, tuple[Any, ...]]:
    output = folder / "expected.parquet"
    hangtag("label", photos, "--model", model, "--out", output)
    rows = pq.read_table(output).to_pylist()
    return {f"{photos.name}/{row['image']}": tuple(row[name] for name in RESULTS[1:]) for row in rows}


def _run(
    folder: Path, catalogue: Path, model: Path, chance: random.Random | None, limit_s: float
) -> tuple[float, dict[str, int]]:
    with PrivateRedis(folder / "redis") as server:
        environment = {
            "HANGTAG_REDIS_URL": server.url,
            "HANGTAG_JOBS": str(folder / "jobs"),
            "PYTHONPATH": os.pathsep.join([str(PLUGINS), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        with Workers(2, folder / "logs", environment) as workers:
            start = time.monotonic()
            submit = ("submit", catalogue, "--model", model, "--decode-timeout", "2", "--job", "job")
            hangtag(*submit, environment=os.environ | environment)
            faults = _wait(folder / "jobs" / "job" / "receipt.json", server, workers, chance, start + limit_s)
            return time.monotonic() - start, dict(faults)


def _wait(
    receipt: Path, server: PrivateRedis, workers: Workers, chance: random.Random | None, deadline: float
) -> Counter[str]:
    faults: Counter[str] = Counter()
    fault_at = time.monotonic() + (chance.expovariate(1 / MEAN_PAUSE_S) if chance else 0.0)
    while not receipt.exists():
        if time.monotonic() > deadline:
            sys.exit(f"the job did not end in time: {dict(faults)}")
        time.sleep(0.05)
        workers.supervise()
        if chance and time.monotonic() > fault_at:
            fault = chance.choices(list(FAULTS), list(FAULTS.values()))[0]
            _strike(fault, server, workers, chance)
            faults[fault] += 1
            fault_at = time.monotonic() + chance.expovariate(1 / MEAN_PAUSE_S)
    return faults


def _strike(fault: str, server: PrivateRedis, workers: Workers, chance: random.Random) -> None:
    match fault:
        case "child killed":
            workers.kill_one_child(chance)
        case "worker killed":
            workers.kill_one_worker(chance)
        case "redis killed":
            server.kill()
            time.sleep(chance.uniform(0, 2))
            kept = "yes" if chance.random() < 0.5 else "no"
            server.options |= {"appendonly": kept, "appendfsync": "always"}
            server.start()
        case _:
            with contextlib.suppress(redis.RedisError), redis.Redis(port=server.port, socket_timeout=5) as client:
                if fault == "redis wiped":
                    client.flushall()
                else:
                    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def _verdict(job: Path, catalogue: Path, bad: dict[str, str], expected: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    with catalogue.open(newline="") as file:
        asked = {row["id"]: row["image"] for row in csv.DictReader(file)}
    rows = [tuple(row[name] for name in RESULTS) for row in pq.read_table(job / "labels.parquet").to_pylist()]
    seen = Counter(row[0] for row in rows)
    wrong = sum(row[0] not in bad and row[1:] != expected[asked[row[0]]] for row in rows)
    failed = {row[0]: row[4] for row in rows if row[3] == "failed"}
    return {
        "rows": len(rows),
        "missing": sum(name not in seen for name in asked),
        "doubled": sum(count - 1 for count in seen.values()),
        "wrong": wrong + sum(one != row[0] for one, row in zip(asked, rows, strict=False)),
        "failed_as_expected": failed == bad,
        "deaths": json.loads((job / "receipt.json").read_text())["work"]["deaths"],
    }


if __name__ == "__main__":
    main()
