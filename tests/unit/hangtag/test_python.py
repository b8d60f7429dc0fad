import html
import json
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import hangtag
from hangtag.python import TrainedRun
from models.errors import ExitCode, HangtagError, InputError, JobError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def few(drawn, tmp_path):
    for folder in ("hat", "vase"):
        (tmp_path / "few" / folder).mkdir(parents=True)
        for photo in sorted((drawn / folder).glob("*.jpg"))[:3]:
            shutil.copy(photo, tmp_path / "few" / folder)
    return tmp_path / "few"


def test_a_bundle_labels_a_catalogue_and_its_record_holds_receipt_rows_and_page(bundle, few):
    made = hangtag.label(few, bundle, "out.parquet", workers=1, top_k=2)

    assert os.fspath(made) == "out.parquet"
    assert made.receipt.rows == made.table().num_rows == 6
    assert all(len(top) == 2 for top in made.table()["top_k"].to_pylist())
    assert made.page.read_text(encoding="utf-8").splitlines()[0] in html.unescape(made._repr_html_())


def test_cells_of_a_csv_are_read_as_they_stand_and_the_receipt_is_of_the_last_retry(bundle, few, tmp_path):
    photo = next((few / "hat").iterdir())
    many = "first line\n" * 100_000  # more than the blocks in which Arrow reads a CSV
    (tmp_path / "list.csv").write_text(f'image,sku,text\n{photo},007,"{many}"\n')
    made = hangtag.label("list.csv", bundle, "out.csv", workers=1)

    assert made.table().select(["sku", "text"]).to_pylist() == [{"sku": "007", "text": many}]
    retries = tmp_path / "out.csv.job" / "retries"
    retries.mkdir(exist_ok=True)
    (retries / "00001.json").write_text(json.dumps({"number": 1, "begun_at": "2026-11-21", "rows": 1, "chunks": [0]}))
    with pytest.raises(JobError, match=r"out\.csv\.job"):
        _ = made.receipt


def test_a_timer_of_the_caller_goes_on(bundle, few):
    fired = []
    before = signal.signal(signal.SIGALRM, lambda *_: fired.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        hangtag.label(few, bundle, "out.parquet", workers=1)
        made = hangtag.label(few, {"kind": bundle, "colour": str(bundle)}, "two.jsonl", workers=1)
        assert {name: own.rows for name, own in made.receipt.questions.items()} == {"kind": 6, "colour": 6}
        assert fired
        assert signal.getitimer(signal.ITIMER_REAL)[1] == pytest.approx(0.02, abs=0.001)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_any_thread_may_label(bundle, few):
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda name: hangtag.label(few, bundle, name, workers=1), ["a.csv", "b.csv"]))
    assert [one.receipt.rows for one in made] == [6, 6]
    assert all("data:image/jpeg;base64," in one.page.read_text(encoding="utf-8") for one in made)


@pytest.mark.rest
def test_a_run_is_measured_as_the_command_measures_it(small_run, drawn, capsys):
    measured = hangtag.evaluate(small_run, drawn, json=True)

    assert json.loads(capsys.readouterr().out)["accuracy"] == measured.figures.accuracy


def test_a_check_says_what_it_found(few, tmp_path):
    shutil.copy(next((few / "hat").iterdir()), few / "hat" / "twin.jpg")
    found = hangtag.check(few, out=tmp_path / "checked")

    assert found.path == tmp_path / "checked"
    assert found.summary["images"] == 7
    assert found.issues["exact_duplicate"] == 2
    assert "srcdoc" in found._repr_html_()

    (few / "hat" / "broken.jpg").write_bytes(b"no photo")
    with pytest.raises(HangtagError, match="7") as caught:
        hangtag.check(few, out=tmp_path / "checked", strict=True)
    assert caught.value.exit_code is ExitCode.DATA_REFUSED


@pytest.mark.rest
def test_an_export_of_a_run_is_a_bundle_that_can_be_loaded(small_run):
    run = TrainedRun(small_run)
    assert 0 < run.figures.accuracy <= 1
    assert run.page.exists()
    made = hangtag.export(run, out="made", int8=False)
    assert set(made.manifest.variants) == {"float32"}
    assert made.proof["passed"]
    assert hangtag.load(made).labels


def test_paths_may_begin_with_a_dash_none_omits_an_option_and_lists_repeat_it(bundle, few):
    few.rename("-few")
    made = hangtag.label("-few", bundle, "out.csv", workers=None, allow_host=["a.example:80", "b.example:80"])
    assert made.receipt.rows == 6
    spec = json.loads((made.path.parent / "out.csv.job" / "job.json").read_text())
    assert spec["options"]["allow_hosts"] == ["a.example:80", "b.example:80"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"top_kk": 3}, "--top-kk"),
        ({"zzz": True}, "--zzz"),
        ({"top_k": "many"}, "'--top-k'"),
        ({"workers": -1}, "'--workers'"),
        ({"workers": True}, "'--workers'"),
    ],
)
def test_options_are_refused_as_the_command_refuses_them(bundle, few, options, named):
    with pytest.raises(InputError, match=f"hangtag.label: .*{named}"):
        hangtag.label(few, bundle, "out.csv", **options)


@pytest.mark.rest
def test_the_notebook_runs_from_its_first_cell_to_its_last(drawn, small_run, tmp_path, monkeypatch):
    """It reuses a training of other tests; everything else runs here."""
    (tmp_path / "photos").symlink_to(drawn)
    trained = []

    def copy_run(request, run, *, as_json):
        trained.append(request)
        shutil.copytree(small_run, run)
        return ExitCode.OK

    monkeypatch.setattr("trainer.console.train_and_show", copy_run)
    notebook = json.loads((Path(hangtag.__file__).parents[1] / "examples/tutorial.ipynb").read_text())
    names = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(cell["source"], names)  # noqa: S102 - a cell of our own notebook

    assert trained[0].time_limit_s == 900
    assert names["labels"].receipt.rows == names["labels"].table().num_rows > 200
