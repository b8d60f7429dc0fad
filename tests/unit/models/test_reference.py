from pathlib import Path

import pytest

from models.bundle import open_bundle
from models.errors import RegistryError
from models.reference import ModelReference, resolve_model, version_of
from models.registry.registry import Registry
from tests.command import clean_environment, run_hangtag
from tests.paper_bundle import shop_registry


@pytest.fixture
def shelf(tmp_path: Path, bundle: Path) -> Registry:
    return shop_registry(tmp_path, bundle)


def test_an_alias_and_a_number_are_looked_up(shelf: Registry, bundle: Path) -> None:
    by_alias, by_number = (resolve_model(text, shelf.place) for text in ("shop@champion", "shop@2"))
    assert (by_alias.name, by_number.name) == ("shop@1", "shop@2")
    assert open_bundle(by_alias.path).digest == open_bundle(bundle).digest
    assert (by_alias.by_alias, by_number.by_alias) == (True, False)
    assert by_alias.words == f"shop@champion is shop@1 of the registry at {shelf.place}."
    assert by_number.words is None


def test_a_path_that_is_there_wins_over_a_name(shelf, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shop@champion").mkdir()
    assert resolve_model("shop@champion", shelf.place) == ModelReference(Path("shop@champion"), "shop@champion")


@pytest.mark.parametrize("path", ["bundles/shop", "bundles/shop@2", "@champion", "shop@", "a b@2"])
def test_what_no_registry_could_hold_is_a_path(path: str) -> None:
    assert resolve_model(path) == ModelReference(Path(path), path)


@pytest.mark.parametrize(
    ("asked", "there"),
    [("hats@champion", "shop"), ("shop@best", "champion, 1, 2"), ("shop@9", "1, 2")],
)
def test_what_is_not_there_is_told_with_what_is(shelf: Registry, asked: str, there: str) -> None:
    with pytest.raises(RegistryError, match=there):
        resolve_model(asked, shelf.place)


def test_a_registry_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="HANGTAG_REGISTRY"):
        resolve_model("shop@champion", str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_the_version_of_a_digest_is_found_whatever_is_champion(shelf: Registry, bundle: Path) -> None:
    shelf.promote("shop", 2, "better")
    found = version_of(resolve_model("shop@champion", shelf.place), open_bundle(bundle).digest)
    assert (found.name, found.requested) == ("shop@1", "shop@champion")
    assert version_of(found, "0" * 64) is None
    assert version_of(ModelReference(bundle, "a path"), open_bundle(bundle).digest) is None


def test_commands_say_which_version_they_took(shelf: Registry, tmp_path: Path) -> None:
    words, environment = ("verify", "shop@champion"), clean_environment(HANGTAG_REGISTRY=shelf.place)
    done = run_hangtag(*words, env=environment)
    assert done.returncode == 0
    assert "shop@champion is shop@1" in done.stderr
    elsewhere = run_hangtag(*words, "--registry", tmp_path / "none", env=environment)
    assert elsewhere.returncode == RegistryError.exit_code, "the option wins over the environment"
