"""Messages of ``hangtag models``: errors and warnings."""

from pathlib import Path

from models.registry.registry import open_registry
from tests.command import clean_environment, run_hangtag
from tests.messages.golden import check_messages, without_frames
from tests.paper_bundle import write_paper_bundle

COMMANDS = (
    "",
    "publish {here}/nowhere --name shop",
    "publish {here}/paper --name shop",
    "publish {bundle} --name a/b",
    "publish {bundle} --name shop --run {here}/paper",
    "publish {bundle} --name shop",
    "publish {bundle} --name shop",
    "promote shop",
    "promote shoop@1",
    "promote shop@9",
    "promote shop@best",
    "promote shop@1",
    "promote shop@1",
    "promote shop@2",
    "promote shop@2 --force",
    "promote shop@2 --force --why sure",
    "rollback shop",
    "rollback shop",
    "alias shop@2 7",
    "alias shop@2 champion",
    "alias shop@2 staging",
    "alias shop@2 staging",
    "alias shop@1 staging --remove",
    "delete shop@staging --why old",
    "delete shop@2",
    "delete shop@2 --why old",
    "alias shop@2 staging --remove",
    "delete shop@2 --why old",
    "delete shop@2 --why old",
    "--json history shop",
    "shop",
)


def test_models(tmp_path: Path, golden_bundle: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    environment = clean_environment(HANGTAG_REGISTRY=registry.place)
    paper, outputs = write_paper_bundle(tmp_path / "paper", 1), {}
    for number, command in enumerate(COMMANDS):
        words = [word.format(here=tmp_path, bundle=golden_bundle) for word in command.split()]
        done = run_hangtag("models", *words, env=environment)
        outputs[f"{number}. models {command}: {done.returncode}"] = without_frames(done.stdout + done.stderr)
        if command.startswith("publish {bundle} --name shop") and "shop" in registry.names():
            registry.publish("shop", paper, "a challenger")
            registry.refuse("shop", 2, ("boots lost 7 points.",), {})
    check_messages("models", outputs, {golden_bundle: "BUNDLE", tmp_path: "HERE"})
