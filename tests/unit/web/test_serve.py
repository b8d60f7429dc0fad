"""What the command says when it starts, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hangtag.cli import make_app
from models.errors import InputError
from models.registry.registry import open_registry
from web.serve import open_results, open_review, places_words
from web.settings import WebSettings

TOKEN = "correct-horse-battery-staple"  # noqa: S105 - made up


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8800"),
        ("0.0.0.0", "http://127.0.0.1:8800"),  # noqa: S104 - nothing listens there
        ("::", "http://[::1]:8800"),
        ("192.0.2.7", "http://192.0.2.7:8800"),
    ],
)
def test_the_address_that_is_said_can_be_opened(host: str, url: str) -> None:
    assert WebSettings(host=host, token=TOKEN).url == url


def test_the_start_names_model_jobs_queue_and_corrections(tmp_path: Path) -> None:
    settings = WebSettings(
        jobs=str(tmp_path / "jobs"),
        redis_url="redis://user:secret@127.0.0.1:1/0",
        model="bundles/shop",
        corrections=tmp_path / "c.csv",
    )
    assert places_words(settings) == (
        f"Model: bundles/shop. Jobs: {tmp_path / 'jobs'} (not there yet), queued at redis://127.0.0.1:1/0. "
        f"Corrections: {tmp_path / 'c.csv'}."
    )
    without = WebSettings(jobs="s3://shop/jobs", registry=str(tmp_path / "registry"))
    assert f"Model: no registry yet at {tmp_path / 'registry'}. Jobs: s3://shop/jobs. " in places_words(without)
    (tmp_path / "registry").mkdir()
    assert f"Model: none, since {tmp_path / 'registry'} has 0 models. " in places_words(without)
    in_s3 = replace(without, registry="s3://shop/registry")
    assert "Model: the champion of the only model in s3://shop/registry. " in places_words(in_s3)


def test_the_start_says_whose_champion_it_serves_and_that_two_models_need_a_choice(
    tmp_path: Path, bundle: Path
) -> None:
    place = str(tmp_path / "registry")
    settings, registry = WebSettings(jobs=str(tmp_path), registry=place), open_registry(place)
    registry.publish("shop", bundle, "the first")
    assert f"Model: shop@champion of {place}. " in places_words(settings)
    registry.publish("colours", bundle, "the first")
    assert f"Model: none, since {place} has 2 models; name one with --model, as in colours@champion. " in places_words(
        settings
    )


@pytest.mark.parametrize("models", [["a.onnx", "b.onnx"], ["colour=bundles/shop"]])
def test_the_page_tries_one_model_and_refuses_several(models: list[str]) -> None:
    words = ["web", *(word for model in models for word in ("--model", model))]
    refused = CliRunner().invoke(make_app(), words).exception
    assert isinstance(refused, InputError)
    assert (
        f"Expected one --model without a name, since the page tries photos with one, got {', '.join(models)};"
        in str(refused)
    )


def test_a_jobs_folder_in_the_place_of_its_result_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "labels.parquet.job"
    folder.mkdir()
    with pytest.raises(InputError, match=r"got its job's folder .*\.job; name labels\.parquet beside it"):
        open_results([folder])


def test_a_result_that_is_not_there_is_called_a_result(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"result of hangtag label at .*nix.parquet, found none; check the path"):
        open_review(WebSettings(jobs=str(tmp_path)), str(tmp_path / "nix.parquet"), None, browser=False)
