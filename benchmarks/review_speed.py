"""How long a reviewer waits for the next photo, from a key to the painted picture, on 20,000 doubtful rows.

    python benchmarks/review_speed.py [--rows 20000] [--keys 400] [--pause-ms 250] [--folder DIR]

It draws a job whose rows all went to review, serves it as ``hangtag web`` does, and presses keys in a Chromium: mostly
Enter, some numbers. A time is from the event of the key until the next photo is decoded and the frame that holds it has
been painted. It takes the packages of the extra ``web``, playwright and a Chromium.
"""

import argparse
import hashlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from rich.console import Console

from benchmarks.example_runs.chromium import chromium_binary
from models.decision import ReviewReason
from models.storage.storage import FolderStorage
from web.jobs import JobIndex
from worker.job_spec import JobOptions, ModelPin
from worker.job_writer import create_job
from worker.results import RowResult, Status, part_bytes, part_key
from worker.sources.catalogue import open_catalogue

PHOTOS = 400
SIZE = (900, 1200)
CLASSES = tuple(f"class {number:03d}" for number in range(1000))
MODEL = "shop/1/float32@aaaaaaaaaaaa"
READY_S = 60.0
WATCH = """() => {
  window.waits = [];
  addEventListener("keydown", (event) => {
    const begun = event.timeStamp;
    const before = document.querySelector("#photo img");
    const watch = new MutationObserver(() => {
      const picture = document.querySelector("#photo img");
      if (!picture || picture === before) return;
      watch.disconnect();
      picture.decode().then(() => requestAnimationFrame(() => {
        const painted = new MessageChannel();
        painted.port1.onmessage = () => window.waits.push(performance.now() - begun);
        painted.port2.postMessage(null);
      }));
    });
    watch.observe(document.getElementById("photo"), { childList: true });
  }, { capture: true });
}"""


def draw_job(folder: Path, rows: int) -> Path:
    """The place of a result whose job is beside it: all rows are doubtful, each of a photo of its own.

    A few hundred photos stand for all: what is served and decoded is theirs, and each row has a digest of its own.
    """
    photos = folder / "photos"
    photos.mkdir()
    random = np.random.default_rng(0)
    for number in range(PHOTOS):
        rough = random.integers(0, 255, (30, 22, 3), dtype=np.uint8)
        Image.fromarray(rough).resize(SIZE, Image.Resampling.BICUBIC).save(photos / f"{number}.jpg", quality=90)
    names = [f"{row % PHOTOS}.jpg" for row in range(rows)]
    titles = [f"Product {row}, a thing with a long name" for row in range(rows)]
    prices = np.round(random.uniform(1, 500, rows), 2)
    pq.write_table(pa.table({"image": names, "title": titles, "price": prices}), folder / "shop.parquet")
    result = folder / "labels.parquet"
    pin = ModelPin(path="/nowhere", reference=MODEL, variant="float32", digest="a" * 64, precision=0.95)
    storage = FolderStorage(folder / "labels.parquet.job")
    job = create_job(storage, open_catalogue(folder / "shop.parquet", image_root=photos), pin, JobOptions())
    for chunk in range(job.spec.chunks):
        first = chunk * job.spec.chunk_rows
        results = [_doubtful(first + row, random) for row in range(job.rows_in_chunk(chunk))]
        storage.commit(part_key(chunk), part_bytes(results, job.spec.id, "shop-7:42", 0.5, 0))
    return result


def _doubtful(row: int, random: np.random.Generator) -> RowResult:
    sure = float(random.uniform(0.2, 0.9))
    best = [CLASSES[place] for place in random.integers(0, len(CLASSES), 5)]
    top_k = tuple((label, sure / (place + 1)) for place, label in enumerate(dict.fromkeys(best)))
    digest = hashlib.sha256(str(row).encode()).hexdigest()
    return RowResult(best[0], sure, Status.REVIEW, None, None, top_k, digest, MODEL, ReviewReason.THRESHOLD)


def measure(page: Page, keys: int, pause_ms: int) -> dict[str, Any]:
    """Press keys as a quick person does; the waits in milliseconds, and what is not saved when the last is pressed."""
    page.evaluate(WATCH)
    begun = time.monotonic()
    for number in range(keys):
        page.keyboard.press("Enter" if number % 4 else "2")
        page.wait_for_timeout(pause_ms)
    seconds = time.monotonic() - begun
    unsaved = page.text_content("#saved")
    waits = np.array(page.evaluate("() => window.waits"))
    return {"waits": waits, "unsaved": unsaved, "an_hour": keys * 3600 / seconds}


def main() -> None:
    """Draw, serve, press, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--keys", type=int, default=400)
    parser.add_argument("--pause-ms", type=int, default=250)
    parser.add_argument("--folder", type=Path, help="where the job lies; drawn there if it does not")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        result = folder / "labels.parquet"
        if not result.with_name("labels.parquet.job").is_dir():
            folder.mkdir(exist_ok=True)
            draw_job(folder, given.rows)
        corrections = Path(temporary) / "corrections.csv"
        report(result, corrections, given.keys, given.pause_ms)


def report(result: Path, corrections: Path, keys: int, pause_ms: int) -> None:
    """Serve the job, measure, and print."""
    console = Console()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "hangtag", "web", str(result), "--port", str(port), "--corrections"]
    command += [str(corrections), "--jobs", str(corrections.with_name("jobs"))]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        _await(address)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium_binary(), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            begun = time.monotonic()
            page.goto(f"{address}/review/{JobIndex('nowhere', (result,)).all()[0].id}")
            page.wait_for_selector("#photo img", timeout=120_000)
            first_s = time.monotonic() - begun
            page.wait_for_timeout(1500)
            found = measure(page, keys, pause_ms)
            browser.close()
    finally:
        server.terminate()
        server.wait()
    waits = found["waits"]
    quantiles = ", ".join(f"p{share} {np.percentile(waits, share):.1f} ms" for share in (50, 95, 99))
    console.print(f"first photo after {first_s:.1f} s (the job is loaded meanwhile)")
    console.print(f"{len(waits)} of {keys} keys, {found['an_hour']:,.0f} an hour")
    console.print(f"{quantiles}, most {waits.max():.1f} ms")
    stored = corrections.read_text().count("\n") - 1
    console.print(f"when the last key was pressed: {found['unsaved']}; {stored} answers in {corrections.name}")


def _await(address: str) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"{address}/healthz").close()  # noqa: S310 - our own server
        except OSError:
            time.sleep(0.1)
        else:
            return
    msg = "Expected the server to answer within a minute, it did not."
    raise SystemExit(msg)


if __name__ == "__main__":
    main()
