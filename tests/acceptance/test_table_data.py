"""Checks, trains on and evaluates a shop's catalogue with column names of its own."""

import csv
import json
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from models.errors import ExitCode
from tests.command import clean_environment, one_line, run_hangtag
from trainer.data.photo_files import file_sha256
from trainer.splits.assigned import read_splits

QUICKLY = ("--arch", "cnn", "--image-size", 32, "--epochs", 10, "--batch-size", 16, "--folds", 0, "--seed", 1)
COLUMNS = ("--image-column", "main_photo", "--label-column", "kind", "--group-column", "sku")
KINDS = ("hat", "vase", "lamp")


@pytest.fixture(scope="module")
def table(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos = [photo for kind in KINDS for photo in sorted((drawn / kind).glob("*.*"))]
    rows = [(f"S{n // 2}", str(photo.relative_to(drawn)), photo.parent.name, "home") for n, photo in enumerate(photos)]
    rows += [("G1", "gone.jpg", "hat", "home"), ("G2", "", "vase", "home"), ("N1", rows[0][1], "", "home")]
    rows += [("K1", "kids.jpg", "toy", "kids")]
    path = tmp_path_factory.mktemp("shop") / "products.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows([("sku", "main_photo", "kind", "department"), *rows])
    return path


def test_a_table_is_checked_trained_on_resumed_and_evaluated(table: Path, drawn: Path, tmp_path: Path) -> None:
    environment = clean_environment(COLUMNS="200")

    def hangtag(*words: object) -> str:
        done = run_hangtag(*words, env=environment)
        assert done.returncode == 0, done.stderr
        return one_line(done.stdout)

    asked = (*COLUMNS, "--where", "department=home", "--image-root", drawn)
    rows = len(table.read_text().splitlines()) - 1
    found = json.loads(hangtag("check", table, *asked, "--out", tmp_path / "check", "--json"))
    read = {"rows": rows, "rows_chosen": rows - 1, "rows_without_label": 1}
    assert {key: found["table"][key] for key in read} == read
    assert list(found["classes"]) == sorted(KINDS)
    assert {one["message"].partition(";")[0] for one in found["bad_files"] if one["kind"] == "missing"} == {
        f"Expected a photo at {drawn / 'gone.jpg'}, found nothing",
        f"Expected the path or the URL of a photo in row {rows - 2} of products.csv, found an empty cell.",
    }
    run = tmp_path / "runs" / "kinds"
    said = hangtag("train", table, *asked, "--out", run.parent, "--name", run.name, *QUICKLY)
    assert "1 row has no label and is left out" in said
    assert f"{rows - 1} of {rows} rows match department=home" in said
    args = json.loads((run / "args.json").read_text())
    columns = ("image_column", "label_column", "where", "image_root")
    assert {name: args["table"][name] for name in columns} == {name: found["table"][name] for name in columns}
    assert args["classes"] == sorted(KINDS)
    with (run / "excluded.csv").open(newline="") as file:
        aside = {row["image"]: row["reason"] for row in csv.DictReader(file)}
    assert aside[str(drawn / "gone.jpg")] == aside[str(table.parent / f"products.csv, row {rows - 2}")] == "missing"
    splits = read_splits(run / "splits.csv")
    assert len({photo.product for photo in splits}) == len({(photo.product, photo.split) for photo in splits})
    evaluation = json.loads((run / "evaluation.json").read_text())
    hangtag("train", "--resume", run)
    assert json.loads((run / "evaluation.json").read_text())["test"] == evaluation["test"]
    assert json.loads((run / "args.json").read_text())["table"] == args["table"]
    measured = json.loads(hangtag("evaluate", run, table, *asked, "--json"))
    assert (measured["accuracy"], measured["n"]) == (evaluation["test"]["accuracy"], evaluation["test"]["n"])
    assert {name: measured["table"][name] for name in columns} == {name: args["table"][name] for name in columns}
    assert {one["reason"] for one in measured["excluded"]} >= {"missing"}


def test_photos_at_urls_are_fetched_once_for_all_commands_and_teach_the_same(
    table: Path, drawn: Path, tmp_path: Path
) -> None:
    asked_for: Counter[str] = Counter()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked_for[self.path] += 1
            super().do_GET()

        def log_message(self, *_: object) -> None: ...

    environment = clean_environment(XDG_CACHE_HOME=str(tmp_path / "cache"), COLUMNS="200")
    rows = len(table.read_text().splitlines()) - 1
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(drawn))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        asked = (*COLUMNS, "--where", "department=home", "--image-root", f"http://{host}/", "--allow-host", host)

        def hangtag(*words: object) -> str:
            done = run_hangtag(*words, env=environment)
            assert done.returncode == 0, done.stderr
            return done.stdout

        checked = json.loads(hangtag("check", table, *asked, "--out", tmp_path / "check", "--json"))
        run = tmp_path / "kinds"
        hangtag("train", table, *asked, "--out", run.parent, "--name", run.name, *QUICKLY)
        measured = json.loads(hangtag("evaluate", run, table, *asked, "--json"))
        server.shutdown()
    photos = {f"/{photo.relative_to(drawn)}" for kind in KINDS for photo in (drawn / kind).glob("*.*")}
    assert asked_for.keys() == photos | {"/gone.jpg"}
    assert {asked_for[photo] for photo in photos} <= {1, 3}
    texts = {path for path in photos if asked_for[path] == 3}
    assert all((drawn / path[1:]).read_bytes().startswith(b"<html") for path in texts)
    assert asked_for["/gone.jpg"] == 3
    assert checked["images"] == rows - 2
    with (run / "excluded.csv").open(newline="") as file:
        messages = [row["message"] for row in csv.DictReader(file)]
    assert any(f"http://{host}/gone.jpg" in message and "404" in message for message in messages)
    assert {photo.sha256 for photo in read_splits(run / "splits.csv")} <= {file_sha256(drawn / at[1:]) for at in photos}
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert measured["accuracy"] == evaluation["test"]["accuracy"]
    hangtag("train", "--resume", run)  # the host is gone by now
    assert json.loads((run / "evaluation.json").read_text())["test"] == evaluation["test"]


def test_a_training_says_which_column_a_table_lacks_before_any_work(table: Path, tmp_path: Path) -> None:
    done = run_hangtag("train", table, "--image-column", "main_photo", "--out", tmp_path / "out")
    assert done.returncode == ExitCode.USAGE
    assert "--label-column with one of: sku, main_photo, kind, department" in one_line(done.stderr)
    assert not list(tmp_path.rglob("*.json"))
