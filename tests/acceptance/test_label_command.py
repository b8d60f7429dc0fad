"""``hangtag label`` on real files."""

import json
import os
import resource
import signal
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.command import HANGTAG, clean_environment, run_hangtag
from tests.integration.processes import with_bad_formats

RESULTS = ("image", "label", "confidence", "status", "error", "sha256")


def command(source: Path | str, bundle: Path, output: Path, *options: str) -> tuple[object, ...]:
    return ("label", source, "--model", bundle, "--out", output, *options)


def run(*arguments, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    return run_hangtag(*command(*arguments), "--workers", "1", env=env)


def started(*arguments, **options) -> "subprocess.Popen[str]":
    return subprocess.Popen([*HANGTAG, *map(str, command(*arguments)), "--workers", "2"], text=True, **options)


def results(output: Path) -> list[tuple]:
    return [tuple(row[name] for name in RESULTS) for row in pq.read_table(output).to_pylist()]


@pytest.fixture
def long_list(tmp_path: Path, catalogue: Path) -> Path:
    photos = sorted(str(photo) for photo in catalogue.rglob("*.*"))
    file = tmp_path / "list.txt"
    file.write_text("".join(f"{photo}\n" for photo in photos * (3900 // len(photos) + 1)))
    return file


@pytest.mark.first
def test_one_row_in_one_row_out(tmp_path: Path, catalogue: Path, bundle: Path) -> None:
    photos = sorted(p for p in catalogue.rglob("*.*") if p.is_file())
    done = run(catalogue, bundle, tmp_path / "labels.parquet", "--json")
    assert done.returncode == 0, done.stderr
    receipt = json.loads(done.stdout)
    rows = results(tmp_path / "labels.parquet")
    assert receipt["rows"] == len(rows) == len(photos)
    assert [row[0] for row in rows] == [str(p.relative_to(catalogue)) for p in photos]
    assert receipt["by_status"]["failed"] == sum(row[3] == "failed" for row in rows) == 2
    assert sum(receipt["by_label"].values()) == len(rows) - 2


@pytest.mark.first
def test_a_killed_run_goes_on_and_gives_the_same_output(tmp_path: Path, long_list: Path, bundle: Path) -> None:
    clean, killed = tmp_path / "clean.parquet", tmp_path / "killed.parquet"
    assert run(long_list, bundle, clean).returncode == 0
    process = started(long_list, bundle, killed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    parts = killed.with_name(killed.name + ".job") / "parts"
    while process.poll() is None and (not parts.is_dir() or len(list(parts.glob("*.arrow"))) < 4):
        os.sched_yield()
    process.kill()
    process.wait()
    assert not killed.exists()
    done_before = {part.name: part.stat().st_mtime_ns for part in parts.glob("*.arrow")}
    assert len(done_before) >= 4
    assert run(long_list, bundle, killed).returncode == 0
    assert pq.read_table(killed).equals(pq.read_table(clean))
    assert all((parts / name).stat().st_mtime_ns == time for name, time in done_before.items())


def test_ctrl_c_stops_and_says_how_to_go_on(tmp_path: Path, long_list: Path, bundle: Path) -> None:
    output = tmp_path / "labels.parquet"
    # background jobs of a shell inherit an ignored SIGINT
    listening = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = started(long_list, bundle, output, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **listening)
    parts = output.with_name(output.name + ".job") / "parts"
    while process.poll() is None and not (parts.is_dir() and any(parts.iterdir())):
        os.sched_yield()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "run the same command again" in said
    assert run(long_list, bundle, output).returncode == 0
    assert pq.read_metadata(output).num_rows == len(long_list.read_text().splitlines())


def test_photos_that_crash_or_hang_the_decoder_are_failed_rows(tmp_path: Path, catalogue: Path, bundle: Path) -> None:
    photos = sorted(str(p) for p in catalogue.rglob("*.png"))[:9]
    (tmp_path / "boom.jpg").write_bytes(b"BOOM")
    (tmp_path / "hang.jpg").write_bytes(b"HANG")
    rows = [*photos[:3], "boom.jpg", *photos[3:6], "hang.jpg", *photos[6:]]
    (tmp_path / "with.txt").write_text("".join(f"{row}\n" for row in rows))
    (tmp_path / "without.txt").write_text("".join(f"{row}\n" for row in photos))
    options, plugin = ("--decode-timeout", "1"), clean_environment(**with_bad_formats())
    done = run(tmp_path / "with.txt", bundle, tmp_path / "with.parquet", *options, env=plugin)
    assert done.returncode == 0, done.stderr
    assert run(tmp_path / "without.txt", bundle, tmp_path / "without.parquet", *options).returncode == 0
    labelled = results(tmp_path / "with.parquet")
    failed = [(row[0], row[4]) for row in labelled if row[4]]
    assert failed == [("boom.jpg", "crashed"), ("hang.jpg", "timeout")]
    assert [row for row in labelled if not row[4]] == results(tmp_path / "without.parquet")


def test_a_disk_that_fills_while_parts_are_written_is_one_sentence_and_the_run_goes_on(
    tmp_path: Path, catalogue: Path, bundle: Path
) -> None:
    photos = sorted(str(photo) for photo in catalogue.rglob("*.*"))[:40]
    (tmp_path / "list.txt").write_text("".join(f"{photo}\n" for photo in photos))
    output, most_bytes = tmp_path / "labels.parquet", 4000  # a part has more, and the rows have less
    small = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))}
    process = started(tmp_path / "list.txt", bundle, output, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **small)
    said = process.communicate()[1].splitlines()
    assert process.returncode == 1
    assert said[-1] == (
        f"hangtag: The disk that holds {output}.job/parts is full (File too large); make room there, and try again."
    )
    assert not [line for line in said if "Traceback" in line or "Error" in line]
    assert run(tmp_path / "list.txt", bundle, output).returncode == 0
    assert len(results(output)) == len(photos)


def test_no_catalogue_and_no_file_of_others_is_overwritten(tmp_path: Path, catalogue: Path, bundle: Path) -> None:
    source = tmp_path / "products.csv"
    source.write_text(f"image\n{next(catalogue.rglob('*.png'))}\n")
    before = source.read_bytes()
    done = run(source, bundle, source, "--restart")
    assert done.returncode == 2
    assert source.read_bytes() == before
    (tmp_path / "labels.csv").write_text("precious")
    assert run(source, bundle, tmp_path / "labels.csv").returncode == 2
    assert (tmp_path / "labels.csv").read_text() == "precious", "no job of ours made it"


def test_a_part_that_another_job_left_is_never_used(tmp_path: Path, catalogue: Path, bundle: Path) -> None:
    photos = sorted(str(p) for p in catalogue.rglob("*.png"))
    for name, chosen in (("a", photos[:4]), ("b", photos[4:8])):
        (tmp_path / f"{name}.txt").write_text("\n".join(chosen))
        assert run(tmp_path / f"{name}.txt", bundle, tmp_path / f"{name}.parquet").returncode == 0
    part = "parts/000000.r0.arrow"
    (tmp_path / "a.parquet.job" / part).replace(tmp_path / "b.parquet.job" / part)
    expected = results(tmp_path / "b.parquet")
    (tmp_path / "b.parquet").unlink()
    done = run(tmp_path / "b.txt", bundle, tmp_path / "b.parquet")
    assert done.returncode == 1
    assert run(tmp_path / "b.txt", bundle, tmp_path / "b.parquet").returncode == 0
    assert results(tmp_path / "b.parquet") == expected
