"""A person submits, watches, shows, cancels and resumes a job; errors have advice."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.acceptance.conftest import SPRING_ROWS
from tests.command import HANGTAG, one_line
from tests.integration.cluster import Cluster
from tests.integration.jobs import assert_same
from tests.until import until


@pytest.mark.first
def test_a_job_is_submitted_watched_and_shown(cluster: Cluster, spring: tuple[str, str]) -> None:
    submitted, watched = spring
    assert submitted.startswith(f"Submitted: spring, {SPRING_ROWS} rows in 3 chunks")
    assert submitted.endswith("Photos are in the column 'image'. Watch it with: hangtag jobs watch spring")
    assert f"Results: {cluster.jobs}/spring/labels.parquet" in watched
    assert f"Page: {cluster.jobs}/spring/receipt.html" in watched
    assert f"{SPRING_ROWS} rows in" in watched
    assert "missing, row 598, gone.jpg" in watched


@pytest.mark.first
def test_the_result_is_that_of_hangtag_label(
    cluster: Cluster, spring, products: Path, catalogue: Path, bundle: Path
) -> None:
    output = cluster.folder / "labels.parquet"
    cluster.must("label", products, "--model", bundle, "--image-root", catalogue, "--out", output, "--workers", 2)
    assert pq.read_schema(cluster.jobs / "spring" / "labels.parquet") == pq.read_schema(output)
    assert_same(cluster.job("spring").rows(), pq.read_table(output).to_pylist())


def test_a_job_and_its_workers_are_shown(cluster: Cluster, spring, few, products: Path, catalogue: Path) -> None:
    text = cluster.must("jobs", "show", "spring")
    assert f"Catalogue: {products}, column image, photos under {catalogue}" in text
    assert "Chunks: 3 of 256 rows" in text
    assert "Worker" not in text, "it is finished"
    with cluster.workers[0].stopped():
        cluster.must(*few("shown"))
        text = cluster.must("jobs", "show", "shown")
    assert f"Worker: {os.uname().nodename}, process {cluster.workers[0].pid}, slots: 2" in text
    record = json.loads(cluster.hangtag("jobs", "show", "spring", "--json").stdout)
    assert (record["job"], record["redis_error"], record["trouble"]) == ("spring", None, {})
    assert [worker["slots"] for worker in record["workers"]] == [2]


def test_ctrl_c_stops_the_watching_not_the_job(cluster: Cluster, few) -> None:
    client = cluster.client
    with cluster.workers[0].stopped():
        cluster.must(*few("watched"))
        client.delete("hangtag:tick")
        process = subprocess.Popen(
            [*HANGTAG, "jobs", "watch", "watched"],
            env=cluster.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # background jobs of a shell inherit an ignored SIGINT
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - this test has no threads
        )
        until(lambda: client.exists("hangtag:tick") or process.poll() is not None, "it watches")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert "Stopped watching; workers continue the job." in one_line(said)
    cluster.must("jobs", "watch", "watched")
    assert len(cluster.job("watched").rows()) == 4


def test_who_submits_is_told_when_nobody_will_label_it(cluster: Cluster, few, tmp_path: Path) -> None:
    elsewhere = cluster.hangtag(*few("elsewhere"), "--jobs", tmp_path)
    assert elsewhere.returncode == 0
    told = one_line(elsewhere.stderr)
    assert f"uses another folder of jobs, {cluster.jobs}; check --jobs." in told
    nobody = cluster.hangtag(*few("nobody"), "--jobs", tmp_path, "--redis", cluster.server.url.removesuffix("0") + "1")
    assert nobody.returncode == 0
    assert "No worker is running; start one with hangtag worker" in nobody.stderr
