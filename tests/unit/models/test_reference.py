import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from hangtag.cli import make_app
from models.bundle import open_bundle
from models.errors import BundleError, RegistryError
from models.reference import ModelReference, resolve_model, version_of
from models.reference_answers import REFERENCE_FILE, answers_of, dump_reference, read_reference
from models.registry.registry import Registry
from tests.paper_bundle import shop_registry, write_paper_bundle


@pytest.fixture
def shelf(tmp_path: Path, bundle: Path) -> Registry:
    return shop_registry(tmp_path, bundle)


def test_an_alias_and_a_number_are_looked_up(shelf: Registry, bundle: Path) -> None:
    by_alias, by_number = (resolve_model(text, shelf.place) for text in ("shop@champion", "shop@2"))
    assert (by_alias.said, by_number.said) == ("shop@1", "shop@2")
    assert open_bundle(by_alias.path).digest == open_bundle(bundle).digest
    assert (by_alias.by_alias, by_number.by_alias) == (True, False)
    assert by_alias.words == f"shop@champion is shop@1 of the registry at {shelf.place}."
    assert by_number.words is None


def test_an_alias_means_what_it_means_at_that_moment(shelf: Registry) -> None:
    said = []
    for step in (lambda: None, lambda: shelf.promote("shop", 2, "better"), lambda: shelf.rollback("shop", "worse")):
        step()
        said.append(resolve_model("shop@champion", shelf.place).said)
    assert said == ["shop@1", "shop@2", "shop@1"]


def test_a_path_that_is_there_wins_over_a_name(shelf, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shop@champion").mkdir()
    assert resolve_model("shop@champion", shelf.place) == ModelReference(Path("shop@champion"), "shop@champion")


@pytest.mark.parametrize("path", ["bundles/shop", "bundles/shop@2", "@champion", "shop@", "a b@2"])
def test_what_no_registry_could_hold_is_a_path(path: str) -> None:
    assert resolve_model(path) == ModelReference(Path(path), path)


@pytest.mark.parametrize(
    ("asked", "there"),
    [("hats@champion", "models there: shop"), ("shop@best", "found champion, 1, 2 of shop"), ("shop@9", "1, 2")],
)
def test_what_is_not_there_is_told_with_what_is(shelf: Registry, asked: str, there: str) -> None:
    with pytest.raises(RegistryError, match=there) as error:
        resolve_model(asked, shelf.place)
    assert shelf.place in str(error.value)
    assert "--registry" in str(error.value)


def test_a_registry_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"found none; models there: none\. .*--registry or HANGTAG_REGISTRY"):
        resolve_model("shop@champion", str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_the_version_of_a_digest_is_found_whatever_is_champion(shelf: Registry, bundle: Path) -> None:
    shelf.promote("shop", 2, "better")
    found = version_of(resolve_model("shop@champion", shelf.place), open_bundle(bundle).digest)
    assert (found.said, found.asked) == ("shop@1", "shop@champion")
    assert version_of(found, "0" * 64) is None
    assert version_of(ModelReference(bundle, "a path"), open_bundle(bundle).digest) is None


@pytest.mark.parametrize(
    "command", [("classify", "PHOTO", "--model", "shop@champion"), ("verify", "shop@champion")], ids=lambda c: c[0]
)
def test_commands_say_which_version_they_took(shelf: Registry, tmp_path: Path, command: tuple[str, ...]) -> None:
    Image.linear_gradient("L").save(tmp_path / "photo.png")
    words = [str(tmp_path / "photo.png") if word == "PHOTO" else word for word in command]
    environment = {"HANGTAG_REGISTRY": shelf.place, "COLUMNS": "300"}
    done = CliRunner().invoke(make_app(), [*words, "--json"], env=environment)
    assert done.exit_code == 0, done.output
    assert f"shop@champion is shop@1 of the registry at {shelf.place}." in done.stderr
    elsewhere = CliRunner().invoke(make_app(), [*words, "--registry", str(tmp_path / "none")], env=environment)
    assert isinstance(elsewhere.exception, RegistryError), "the option wins over the environment"


ANSWERS = answers_of(["boots", "hats", "boots"], [0.5, 1.0, 0.0])


def with_reference(folder: Path, data: bytes) -> Path:
    """A bundle that lists such a file."""
    bundle = write_paper_bundle(folder, 1)
    (bundle / REFERENCE_FILE).write_bytes(data)
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    manifest["files"][REFERENCE_FILE] = hashlib.sha256(data).hexdigest()
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    return bundle


def test_what_was_written_is_read(tmp_path: Path) -> None:
    bundle = open_bundle(with_reference(tmp_path, dump_reference({"float32": ANSWERS})))
    assert read_reference(bundle, "float32") == ANSWERS
    assert read_reference(bundle, "int8") is None
    assert ANSWERS.by_label == {"boots": 2, "hats": 1}
    assert {place: count for place, count in enumerate(ANSWERS.confidence_histogram) if count} == {0: 1, 10: 1, 19: 1}


def test_a_bundle_from_before_has_none(tmp_path: Path) -> None:
    assert read_reference(open_bundle(write_paper_bundle(tmp_path, 1)), "float32") is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"by_label": {"boots": 3, "hats": -1, "caps": 1}},
        {"by_label": {"boots": 9}},
        {"confidence_histogram": [0] * 20},
        {"confidence_histogram": [3]},
    ],
)
def test_what_cannot_be_compared_with_is_refused_before_a_job(tmp_path: Path, wrong: dict[str, object]) -> None:
    whole = json.loads(dump_reference({"float32": ANSWERS}))
    whole["variants"]["float32"] |= wrong
    bundle = open_bundle(with_reference(tmp_path, json.dumps(whole).encode()))
    with pytest.raises(BundleError, match=r"reference\.json is damaged, or of a later Hangtag"):
        read_reference(bundle, "float32")
