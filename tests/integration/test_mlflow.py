"""MLflow is told of bundles and cycles: a real server, and Hangtag's own client of it."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hangtag.cli import make_app
from models.bundle import open_bundle
from models.errors import InputError, TrackingError
from models.registry.registry import open_registry
from models.registry.state import CHALLENGER, CHAMPION
from tests.missing import skip_outside_ci
from worker.tracking import log_cycle, mlflow_client, point_aliases, publish_bundle

from .mlflow_server import MISSING, open_mlflow_server

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, and those of what it is made of


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    skip_outside_ci(MISSING)
    with open_mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture
def cycle(tmp_path: Path, small_run: Path, sure_bundle: Path) -> Path:
    """The folder of a cycle that was refused."""
    folder = tmp_path / "000007"
    shutil.copytree(small_run, folder / "run")
    shutil.copytree(sure_bundle, folder / "bundle")
    (folder / "report.html").write_text("<html>report</html>")
    (folder / "comparison.json").write_text(
        '{"points": -2.5, "points_95": [-4.0, -1.0], "champion": "shop@1", "won": 3}'
    )
    checks = [{"name": "accuracy", "passed": False, "sentence": "2.5 points are lost."}]
    (folder / "verdict.json").write_text(json.dumps({"checks": checks}))
    return folder


def test_a_cycle_is_a_run_with_its_curves_its_report_and_its_bundle(server, cycle, small_run):
    run_id = log_cycle(server, "curves", cycle, "curves", 1, promoted=False, aliases={CHALLENGER: 1})
    with mlflow_client(server) as client:
        run = client.get_run(run_id)
        curve = client.get_metric_history(run_id, "val/accuracy")
        top, bundle = ({file.path for file in client.list_artifacts(run_id, path)} for path in (None, "bundle"))
    rows = (small_run / "results.csv").read_text().splitlines()[1:]
    assert [point.step for point in curve] == list(range(1, len(rows) + 1))
    assert run.data.params["arch"] == json.loads((small_run / "args.json").read_text())["arch"]
    assert run.data.metrics["comparison/points_95/low"] == -4.0
    assert run.data.metrics["final/val/accuracy"] == pytest.approx(_accuracy(small_run))
    assert run.data.tags["hangtag_verdict"] == "refused"
    assert run.data.tags["hangtag_reasons"] == "2.5 points are lost."
    assert {"report.html", "comparison.json", "bundle", "run"} <= top
    assert "bundle/manifest.json" in bundle
    assert run.info.status == "FINISHED"


def test_what_is_registered_is_the_bundle(server, cycle, tmp_path):
    log_cycle(server, "hangtag", cycle, "whole", 4, promoted=True, aliases={CHAMPION: 4})
    with mlflow_client(server) as client:
        version = client.get_model_version_by_alias("whole", CHAMPION)
        got = client.download_artifacts(version.run_id, "bundle", str(tmp_path))
    assert version.tags["hangtag_version"] == "4"
    assert version.source.endswith(f"{version.run_id}/artifacts/bundle")
    assert open_bundle(Path(got)).digest == open_bundle(cycle / "bundle").digest == version.tags["hangtag_digest"]


def test_aliases_move_with_a_promotion_and_back_with_a_rollback(server, cycle, bundle):
    publish_bundle(server, bundle, "moving", None, 1, {CHAMPION: 1})
    log_cycle(server, "hangtag", cycle, "moving", 2, promoted=False, aliases={CHAMPION: 1, CHALLENGER: 2})
    assert _aliases(server, "moving") == {CHAMPION: "1", CHALLENGER: "2"}
    log_cycle(server, "hangtag", cycle, "moving", 2, promoted=True, aliases={CHAMPION: 2})
    assert _aliases(server, "moving") == {CHAMPION: "2"}
    point_aliases(server, "moving", {CHAMPION: 1})
    assert _aliases(server, "moving") == {CHAMPION: "1"}


def test_what_a_person_does_to_a_model_is_told_as_well(server, bundle, sure_bundle, small_run, tmp_path):
    def models(*words: object) -> None:
        environment = {"HANGTAG_REGISTRY": str(tmp_path / "registry")}
        done = CliRunner().invoke(
            make_app(["worker"]), ["models", *map(str, words), "--mlflow", server], env=environment
        )
        assert (done.exit_code, done.stderr) == (0, ""), done.output

    models("publish", bundle, "--name", "byhand", "--run", small_run, "--promote")
    models("publish", sure_bundle, "--name", "byhand", "--alias", "staging")
    assert _aliases(server, "byhand") == {CHAMPION: "1", "staging": "2"}
    models("promote", "byhand@2", "--why", "better")
    models("alias", "byhand@2", "staging", "--remove", "--why", "it is out")
    assert _aliases(server, "byhand") == {CHAMPION: "2"}
    models("rollback", "byhand", "--why", "worse")
    assert _aliases(server, "byhand") == {CHAMPION: "1"}


def test_a_server_that_is_away_keeps_no_version_from_its_place(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    place = ("--registry", str(tmp_path), "--mlflow", f"http://me:s3cret@127.0.0.1:{_closed_port()}")
    publish = ("models", "publish", str(bundle), "--name", "shop", "--promote", *place)
    for words, advice in (
        (publish, "Give the same command again"),
        (("models", "alias", "shop@1", "staging", "--why", "trial", *place), "hangtag models promote shop@champion"),
    ):
        done = CliRunner().invoke(make_app(["worker"]), words)
        assert done.exit_code == 0, done.output
        assert "The registry has changed, but that was not logged to MLflow." in done.stderr
        assert advice in done.stderr
        assert "s3cret" not in done.output
    assert open_registry(str(tmp_path)).state("shop").aliases == {CHAMPION: 1, "staging": 1}


def test_an_alias_of_a_version_that_mlflow_does_not_know_is_taken_away(server, bundle):
    publish_bundle(server, bundle, "stale", None, 1, {CHAMPION: 1})
    point_aliases(server, "stale", {CHAMPION: 2})
    assert _aliases(server, "stale") == {}


def test_a_cycle_that_is_told_twice_is_there_once(server, cycle):
    first, second = (
        log_cycle(server, "twice", cycle, "twice", 1, promoted=True, aliases={CHAMPION: 1}) for _ in range(2)
    )
    assert first == second
    assert _count(server, "twice") == (1, 1)


def test_a_process_that_is_killed_while_it_tells_leaves_nothing_double(server, cycle, tmp_path):
    code = (
        "import os, sys; from pathlib import Path;"
        "from worker.tracking import log_cycle;"
        "sys.addaudithook(lambda event, args: event == 'open' and str(args[0]).endswith('model.onnx') and os._exit(9));"
        f"log_cycle({server!r}, 'killed', Path({str(cycle)!r}), 'killed', 1, False, {{}})"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 9
    assert _count(server, "killed") == (1, 0)
    run_id = log_cycle(server, "killed", cycle, "killed", 1, promoted=False, aliases={CHALLENGER: 1})
    assert _count(server, "killed") == (1, 1)
    with mlflow_client(server) as client:
        steps = [point.step for point in client.get_metric_history(run_id, "val/loss")]
        assert client.get_run(run_id).info.status == "FINISHED"
    assert len(steps) == len(set(steps)) > 1


def test_a_server_that_is_away_is_an_error_that_shows_no_password(bundle, monkeypatch, capfd):
    skip_outside_ci(MISSING)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    port = _closed_port()
    with pytest.raises(TrackingError, match=rf"http://127.0.0.1:{port} ") as raised:
        publish_bundle(f"http://me:s3cret%21@127.0.0.1:{port}", bundle, "away", None, 1)
    shown = str(raised.value) + "".join(capfd.readouterr())
    assert "s3cret" not in shown
    assert "me:" not in shown


def test_a_password_of_the_uri_is_sent_and_not_shown(server, bundle, capfd):
    uri = server.replace("//", "//me:s3cret@")
    publish_bundle(uri, bundle, "secret", None, 1, {CHAMPION: 1})
    with mlflow_client(server) as client:
        found = client.search_model_versions("name = 'secret'")
        run = client.get_run(found[0].run_id)
    assert "s3cret" not in f"{found}{run.to_dictionary()}" + "".join(capfd.readouterr())


def test_no_uri_is_refused(bundle):
    with pytest.raises(InputError, match="http://mlflow:5000"):
        publish_bundle(" ", bundle, "nowhere", None, 1)


def test_mlflow_reports_its_use_to_nobody(server):
    code = (
        "import sys; from worker.tracking import mlflow_client;"
        f"client = mlflow_client({server!r}); opened = client.__enter__(); opened.search_experiments();"
        "from mlflow.telemetry import get_telemetry_client; sys.exit(get_telemetry_client() is not None)"
    )
    # a run of tests is known to MLflow, which says nothing then: this process is to look as anybody's
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120, env=environment).returncode == 0


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return int(closed.getsockname()[1])


def _accuracy(run: Path) -> float:
    return json.loads((run / "evaluation.json").read_text())["val"]["accuracy"]


def _aliases(server: str, name: str) -> dict[str, str]:
    """Alias → Hangtag's version."""
    with mlflow_client(server) as client:
        aliases = client.get_registered_model(name).aliases
        return {
            alias: client.get_model_version(name, version).tags["hangtag_version"] for alias, version in aliases.items()
        }


def _count(server: str, name: str) -> tuple[int, int]:
    """How many runs and versions there are of an experiment and a model of that name."""
    with mlflow_client(server) as client:
        experiment = client.get_experiment_by_name(name).experiment_id
        return len(client.search_runs([experiment])), len(client.search_model_versions(f"name = '{name}'"))
