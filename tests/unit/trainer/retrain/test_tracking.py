"""A cycle is logged to MLflow: into a folder, with MLflow's own client and no server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from models.errors import TrackingError
from tests.unit.trainer.retrain.reported_cycles import outcome
from trainer.retrain.cycle_folder import CycleFolder, CycleStatus
from trainer.retrain.tools import log_cycle

pytestmark = [pytest.mark.rest, pytest.mark.filterwarnings("ignore")]  # of MLflow's own warnings
REFUSED = outcome(CycleStatus.REFUSED, reasons=("2.5 points are lost.",))
FILES = {
    "run/args.json": json.dumps({"arch": "cnn", "epochs": 2, "classes": ["boots", "hats"], "taxonomy": None}),
    "run/results.csv": "epoch,val/loss,val/accuracy\n1,0.7,0.5\n2,nan,0.75\n",
    "run/evaluation.json": json.dumps({"val": {"accuracy": 0.75, "classes": {}}, "test": None, "temperature": 1.5}),
    "comparison.json": json.dumps({"points": -2.5, "points_95": [-4.0, -1.0], "champion": "shop@1", "won": 3}),
    "cycle.json": json.dumps({"config": {"mlflow": {"uri": "http://me:s3cret@mlflow"}}}),
    "report.html": "<html>report</html>",
    "bundle/manifest.json": "{}",
}


@pytest.fixture
def cycle(tmp_path: Path) -> CycleFolder:
    folder = tmp_path / "000007"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return CycleFolder(folder)


@pytest.fixture
def uri(tmp_path: Path) -> Iterator[str]:
    with patch.dict(os.environ, MLFLOW_ALLOW_FILE_STORE="true"):  # also undoes variables that logging sets
        yield f"file://{tmp_path / 'mlruns'}"


def client_of(uri: str) -> Any:
    mlflow = pytest.importorskip("mlflow", reason="pip install 'hangtag[mlflow]'")
    return mlflow.MlflowClient(tracking_uri=uri)


def runs(uri: str) -> list:
    client = client_of(uri)
    return client.search_runs([client.get_experiment_by_name("shops").experiment_id])


def test_a_cycle_is_a_run_with_its_parameters_figures_and_files(uri: str, cycle: CycleFolder) -> None:
    run_id = log_cycle(uri, "shops", cycle, REFUSED)
    client = client_of(uri)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"arch": "cnn", "epochs": "2"}
    assert [point.step for point in client.get_metric_history(run_id, "val/accuracy")] == [1, 2]
    assert [point.value for point in client.get_metric_history(run_id, "val/loss")] == [0.7]
    figures = {"final/val/accuracy": 0.75, "final/temperature": 1.5, "comparison/points": -2.5, "comparison/won": 3.0}
    assert figures.items() <= run.data.metrics.items()
    assert run.data.tags["hangtag_status"] == "refused"
    assert run.data.tags["hangtag_reasons"] == "2.5 points are lost."
    assert {file.path for file in client.list_artifacts(run_id)} == {"report.html", "comparison.json", "bundle", "run"}
    assert [file.path for file in client.list_artifacts(run_id, "bundle")] == ["bundle/manifest.json"]


def test_a_cycle_that_is_logged_again_is_there_once_even_after_a_kill(uri: str, cycle: CycleFolder) -> None:
    code = (
        "import os, sys; from pathlib import Path;"
        "from tests.unit.trainer.retrain.test_tracking import REFUSED, CycleFolder, log_cycle;"
        "kill = lambda event, args: event == 'open' and str(args[0]).endswith('manifest.json') and os._exit(9);"
        "sys.addaudithook(kill);"
        f"log_cycle({uri!r}, 'shops', CycleFolder(Path({str(cycle.path)!r})), REFUSED)"
    )
    root = Path(__file__).parents[4]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment, cwd=root).returncode == 9
    assert [run.info.status for run in runs(uri)] == ["RUNNING"]
    assert log_cycle(uri, "shops", cycle, REFUSED) == log_cycle(uri, "shops", cycle, REFUSED)
    assert [run.info.status for run in runs(uri)] == ["FINISHED"]


def test_a_server_that_is_away_is_an_error_that_shows_no_password(
    uri: str, cycle: CycleFolder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match=r"http://127\.0\.0\.1:9, ") as raised:
        log_cycle("http://me:s3cret%21@127.0.0.1:9", "shops", cycle, REFUSED)
    shown = str(raised.value) + "".join(capfd.readouterr())
    assert "s3cret" not in shown
    assert "me:" not in shown


def test_mlflow_reports_its_use_to_nobody(uri: str, cycle: CycleFolder) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from tests.unit.trainer.retrain.reported_cycles import outcome;"
        "from trainer.retrain.tools import log_cycle; from trainer.retrain.cycle_folder import CycleFolder;"
        f"log_cycle({uri!r}, 'shops', CycleFolder(Path({str(cycle.path)!r})), outcome());"
        "from mlflow.telemetry import get_telemetry_client; sys.exit(get_telemetry_client() is not None)"
    )
    # MLflow detects a test run and stays silent: hide the test run
    root = str(Path(__file__).parents[4])
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": root, "MLFLOW_ALLOW_FILE_STORE": "true"}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment, cwd=root).returncode == 0
