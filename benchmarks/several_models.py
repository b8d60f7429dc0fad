"""Several models in one pass over the photos, compared with a separate pass for each: labels, images a second, memory.

    python benchmarks/several_models.py [--photos FOLDER] [--count 2000] [--turns 5] [--size 128] [--variant int8]
                                        [--model BUNDLE --model BUNDLE]

Without --model, two ``cnn`` networks are trained and kept. The photos are rendered with 600×800 pixels, or are copies
of a folder's photos with distinct bytes. With --model, the first photos of the folder --photos are used. Four questions
use each of two models twice. Whole commands, including their start, run in turns, each with one process, so that other
load slows every command. Figures "of the labelling" leave out start, verification and merging, like the time in
receipts. Each question's columns must equal the columns of a separate run of its model. With --served, a server on this
machine serves the photos and counts the requests, without timing.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
from material import cnn, photo_list, shop_material
from measuring import Ran, machine, ratios, run, spread, turns
from rich.console import Console

from worker.job.parts import RESULT_SCHEMA


@dataclass(frozen=True)
class Passes:
    """One or more passes over the photos: the commands, and the seconds of labelling in their receipts."""

    ran: Sequence[Ran]
    labelling_s: float

    @property
    def seconds(self) -> float:
        """Seconds of the whole commands."""
        return sum(one.seconds for one in self.ran)

    @property
    def processor_s(self) -> float:
        """User and system time."""
        return sum(one.processor_s for one in self.ran)


def main() -> None:
    """Measure two and four models, and print each turn's ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--model", type=Path, action="append", default=[])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--variant", default="int8")
    parser.add_argument("--served", action="store_true", help="count requests; measure nothing")
    asked = parser.parse_args()
    show = Console(stderr=True).print
    if asked.model:
        bundles, names = asked.model, photo_list(asked.photos)[: asked.count]
    else:
        materials = [shop_material(asked.photos, asked.count, cnn(asked.size, epochs), show) for epochs in (5, 4)]
        bundles, names = [material.bundle for material in materials], materials[0].names
    found: dict[str, object] = {"photos": len(names), "turns": asked.turns, "machine": machine("")}
    for number in (2, 4):
        models = {f"q{place}": bundles[place % len(bundles)] for place in range(number)}
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            if asked.served:
                found[f"{number} models, served"] = _served(folder, names, models, asked.variant)
            else:
                source = _list(folder, names)
                found[f"{number} models"] = _compared(folder, source, models, asked.variant, asked.turns, show)
    print(json.dumps(found, indent=1))


def _compared(
    folder: Path, source: Path, models: Mapping[str, Path], variant: str, count: int, show: object
) -> dict[str, object]:
    one_pass, after = folder / "together", [folder / name for name in models]
    contestants = {
        "one pass": partial(_pass, source, [(models, one_pass)], variant),
        "one after the other": partial(
            _pass,
            source,
            [({name: model}, out) for (name, model), out in zip(models.items(), after, strict=True)],
            variant,
        ),
    }
    found = turns(contestants, count)
    together, apart = found["one pass"], found["one after the other"]
    _check_equal(one_pass, dict(zip(models, after, strict=True)))
    return {
        "images/s, times": ratios([one.seconds for one in apart], [one.seconds for one in together]),
        "images/s of the labelling, times": ratios(
            [one.labelling_s for one in apart], [one.labelling_s for one in together]
        ),
        "processor time, times": ratios([one.processor_s for one in apart], [one.processor_s for one in together]),
        "largest process, MB": spread([max(ran.largest_mb for ran in one.ran) for one in together]),
        "largest process of one model, MB": spread([max(ran.largest_mb for ran in one.ran) for one in apart]),
        "labels": "equal",
    }


def _pass(source: Path, runs: Sequence[tuple[Mapping[str, Path], Path]], variant: str, *options: str) -> Passes:
    ran, labelling_s = [], 0.0
    for models, out in runs:
        named = [word for name, model in models.items() for word in ("--model", f"{name}={model}")]
        words = ("label", source, *named, "--variant", variant, "--out", out.with_suffix(".parquet"))
        ran.append(run([sys.executable, "-m", "hangtag", *words, "--workers", "1", "--restart", "--json", *options]))
        labelling_s += json.loads(ran[-1].said)["run"]["seconds"]
    return Passes(ran, labelling_s)


def _check_equal(together: Path, apart: Mapping[str, Path]) -> None:
    whole = pq.read_table(together.with_suffix(".parquet"))
    for name, place in apart.items():
        columns = [f"{name}_{column}" for column in RESULT_SCHEMA.names]
        if not whole.select(columns).equals(pq.read_table(place.with_suffix(".parquet"), columns=columns)):
            sys.exit(f"The columns of {name} differ from a separate run of its model.")


def _list(folder: Path, cells: Sequence[str]) -> Path:
    source = folder / "rows.parquet"
    pq.write_table(pa.table({"image": cells}), source)
    return source


class _Served(ThreadingHTTPServer):
    photos: Sequence[str] = ()
    requests = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Served

    def do_GET(self) -> None:
        self.server.requests += 1
        data = Path(self.server.photos[int(self.path[1:])]).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def _served(folder: Path, names: Sequence[str], models: Mapping[str, Path], variant: str) -> dict[str, object]:
    with _Served(("127.0.0.1", 0), _Handler) as server:
        server.photos = names
        Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        source = _list(folder, [f"http://{host}/{number}" for number in range(len(names))])
        done = _pass(source, [(models, folder / "together")], variant, "--allow-host", host)
        server.shutdown()
    downloaded = json.loads(done.ran[-1].said)["photos"]["downloaded"]
    return {"photos": len(names), "downloaded to be labelled": downloaded, "with the receipts' pages": server.requests}


if __name__ == "__main__":
    main()
