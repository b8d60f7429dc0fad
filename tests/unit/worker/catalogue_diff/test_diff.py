"""Two small models on drawn photos."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from models.classifier import load
from models.errors import BundleError, ImageError, JobError
from tests.row_results import RowResult, results_table
from tests.unit.catalogue.scripted_server import Answer, open_scripted_server
from tests.variants import falsify
from worker.catalogue_diff import diff_catalogue, row_labels
from worker.job.parts import Status
from worker.request import JobOptions

PLUGINS = Path(__file__).parents[3] / "plugins"
BROKEN = {"broken.jpg": b"no photo", "boom.jpg": b"BOOM"}
KILLED = """
import sys
from pathlib import Path
from worker.catalogue_diff import diff_catalogue
from worker.request import JobOptions

def advance(what, done, total):
    print(what, done, total, flush=True)

before, after, source, folder = sys.argv[1:]
diff_catalogue(Path(before), Path(after), source, Path(folder), 300, JobOptions(), {}, advance)
"""


def silent(what: str, done: int, total: int) -> None: ...


@pytest.fixture
def shop(tmp_path: Path, catalogue: Path) -> Path:
    """Forty drawn photos, one of them in three more rows, two broken ones, one that is gone, and an empty cell."""
    photos = sorted(str(photo) for photo in catalogue.rglob("*.*"))[::6][:40]
    for name, data in BROKEN.items():
        (tmp_path / name).write_bytes(data)
    cells = [*photos, *[photos[0]] * 3, *BROKEN, "gone.jpg", ""]
    source = tmp_path / "shop.csv"
    source.write_text("sku,image\n" + "".join(f"{row},{cell}\n" for row, cell in enumerate(cells, 1)))
    return source


@pytest.fixture
def _photos_that_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the labelling processes, as in the acceptance tests of ``hangtag label``."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PLUGINS), os.environ.get("PYTHONPATH", "")]))


def said(bundle: Path, shop: Path) -> dict[int, str]:
    """Row → label, by the classifier itself."""
    classifier, labels = load(bundle), {}
    for row, line in enumerate(shop.read_text().splitlines()[1:], 1):
        cell = line.partition(",")[2]
        try:
            labels[row] = classifier.classify(shop.parent / cell).label
        except ImageError:
            assert row > 43
    return labels


def test_of_a_label_above_classes_the_likeliest_class_is_compared() -> None:
    said = RowResult("shoes", 0.95, Status.LABELED, None, None, (("boots", 0.5),), "ab", "m")
    results = [replace(said, label_level=1, leaf_guess="boots"), replace(said, label="hats ", label_level=0)]
    labels = row_labels(results_table(results), "")
    assert [(one.label, one.confidence) for one in labels] == [("boots", 0.5), ("hats", pytest.approx(0.95))]


def first_parts(folder: Path) -> dict[Path, int]:
    """Parts of the labelling jobs, each with the time when it was written; failed rows are tried again in others."""
    return {file: file.stat().st_mtime_ns for file in folder.rglob("parts/*.r0.arrow")}


@pytest.mark.usefixtures("_photos_that_crash")
@pytest.mark.rest
def test_rows_whose_label_changes_are_counted_and_shown(
    shop: Path, tmp_path: Path, bundle: Path, other_bundle: Path
) -> None:
    figures = diff_catalogue(bundle, other_bundle, str(shop), tmp_path / "diff", 300, JobOptions(), {}, silent)
    old, new = said(bundle, shop), said(other_bundle, shop)
    flows = Counter((old[row], new[row]) for row in old if old[row] != new[row])
    assert flows, "two networks that agree on every photo test nothing"
    assert {(flow.before, flow.after): flow.rows for flow in figures.flows} == flows
    assert (figures.rows_in_source, figures.rows, figures.failed) == (47, 43, 4)
    assert figures.changed == sum(flows.values())
    assert figures.source == str(shop)
    for example in figures.examples:
        assert (example.before, example.after) == (old[example.row], new[example.row])
        assert example.thumbnail
        assert example.image == shop.read_text().splitlines()[example.row].partition(",")[2]


def test_rows_with_a_reviewers_answer_are_left_out_because_the_new_model_has_learned_them(
    tmp_path: Path, catalogue: Path, bundle: Path, other_bundle: Path
) -> None:
    photos = sorted(catalogue.rglob("*.*"))[::20][:4]
    source = tmp_path / "names.txt"
    source.write_text("".join(f"{photo}\n" for photo in [*photos, photos[0]]))
    answered = {hashlib.sha256(photos[0].read_bytes()).hexdigest()}
    asked = (bundle, other_bundle, str(source), tmp_path / "diff", 300, JobOptions(), {}, silent)
    figures = diff_catalogue(*asked, answered)
    assert (figures.rows, figures.answered, figures.failed) == (3, 2, 0)
    assert not {example.row for example in figures.examples} & {1, 5}


def test_photos_from_elsewhere_come_once_for_both_models(
    catalogue: Path, tmp_path: Path, bundle: Path, other_bundle: Path
) -> None:
    photos = sorted(catalogue.rglob("*.*"))[::20][:8]
    with open_scripted_server() as server:
        server.answers = {f"/{number}.jpg": [Answer(photo.read_bytes())] for number, photo in enumerate(photos)}
        server.answers["/gone.jpg"] = [Answer(status=404)]
        cells = [*(server.url(path) for path in server.answers), str(photos[0])]
        (tmp_path / "urls.txt").write_text("".join(f"{cell}\n" for cell in cells))
        options = JobOptions(allow_hosts=[server.host])
        asked = (bundle, other_bundle, str(tmp_path / "urls.txt"), tmp_path / "diff", 300, options, {}, silent)
        figures = diff_catalogue(*asked)
        assert (figures.rows, figures.failed) == (9, 1)
        assert sorted(path for path, _ in server.asked) == sorted(server.answers)
        assert {example.image for example in figures.examples} <= set(cells)
        assert all(example.thumbnail for example in figures.examples)
        assert diff_catalogue(*asked) == figures
        assert len(server.asked) == len(server.answers)


def test_a_host_that_is_gone_is_no_catalogue_without_changes(tmp_path: Path, bundle: Path) -> None:
    with open_scripted_server() as server:
        server.answers["/a.jpg"] = [Answer(status=404)]
        source = tmp_path / "urls.txt"
        source.write_text(f"{server.url('/a.jpg')}\n")
        options = JobOptions(allow_hosts=[server.host])
        for _ in range(2):
            with pytest.raises(JobError, match="none could be fetched"):
                diff_catalogue(bundle, bundle, str(source), tmp_path / "diff", 300, options, {}, silent)
        assert len(server.asked) == 2, "a failure is not kept"


def test_photos_that_are_all_gone_are_no_catalogue_without_changes_either(tmp_path: Path, bundle: Path) -> None:
    source = tmp_path / "names.txt"
    source.write_text("a.png\nb.png\n")
    asked = (bundle, bundle, str(source), tmp_path / "diff", 300, JobOptions(), {}, silent)
    with pytest.raises(JobError, match=r"a\.png"):
        diff_catalogue(*asked)
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(next((bundle / "golden").glob("*.png")).read_bytes())
    assert diff_catalogue(*asked).rows == 2, "the second call finds the new photos"


def test_where_int8_disagrees_on_this_machine_both_float32_models_are_compared(
    tmp_path: Path, bundle: Path, int8_bundle: Path
) -> None:
    false_int8 = shutil.copytree(int8_bundle, tmp_path / "false")
    falsify(false_int8, "int8")
    source = tmp_path / "names.txt"
    source.write_text(f"{next((bundle / 'golden').glob('*.png')).absolute()}\n")
    steps: set[str] = set()
    asked = (str(source), tmp_path / "diff", 300, JobOptions(), {}, lambda step, *_: steps.add(step))
    assert diff_catalogue(false_int8, bundle, *asked).rows == 1
    assert "Labelling with both models (float32)" in steps


def test_a_damaged_int8_file_is_an_error_and_not_replaced_by_float32(
    tmp_path: Path, bundle: Path, int8_bundle: Path
) -> None:
    damaged = shutil.copytree(int8_bundle, tmp_path / "damaged")
    (damaged / "model.int8.onnx").write_bytes(b"no model")
    source = tmp_path / "names.txt"
    source.write_text(f"{next((bundle / 'golden').glob('*.png')).absolute()}\n")
    with pytest.raises(BundleError, match=r"model\.int8\.onnx"):
        diff_catalogue(damaged, bundle, str(source), tmp_path / "diff", 300, JobOptions(), {}, silent)


@pytest.mark.rest
def test_a_comparison_that_is_killed_goes_on(shop: Path, tmp_path: Path, bundle: Path, other_bundle: Path) -> None:
    folder = tmp_path / "diff"
    command = [sys.executable, "-P", "-c", KILLED, str(bundle), str(other_bundle), str(shop), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("Labelling") and " 0 " not in line:
                process.send_signal(signal.SIGKILL)
                break
        process.stdout.read()
    assert process.returncode == -signal.SIGKILL
    labels = first_parts(folder)
    assert labels, "a chunk is done"
    options = JobOptions()
    figures = diff_catalogue(bundle, other_bundle, str(shop), folder, 300, options, {}, silent)
    assert labels.items() <= first_parts(folder).items(), "what was done is kept"
    untouched = diff_catalogue(bundle, other_bundle, str(shop), tmp_path / "again", 300, options, {}, silent)
    assert figures == untouched
