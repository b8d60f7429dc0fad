"""``hangtag models``: real bundles of a small model where they are published, made-up ones where nothing runs."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from hangtag.cli import make_app
from models.errors import BundleError, HangtagError, InputError, RegistryError
from models.registry.registry import Registry, open_registry
from models.registry.state import CHALLENGER, CHAMPION
from models.text import without_file_links
from tests.paper_bundle import write_paper_bundle
from worker.registry.show import ago


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Three versions: an earlier champion, the champion, and a challenger that was refused."""
    registry = open_registry(str(tmp_path / "registry"))
    for seed, labels in ((1, ["boots", "hats"]), (2, ["boots", "coats"]), (3, ["boots", "coats"])):
        bundle = write_paper_bundle(tmp_path / str(seed), seed, labels=labels, accuracy=0.5 + seed / 10)
        if seed == 3:  # those before are of an earlier Hangtag
            measured = {"accuracy": 0.9769, "photos": 216, "split": "out-of-fold"}
            (bundle / "parity.json").write_text(json.dumps({"measured": measured}))
        registry.publish("shop", bundle, f"made-up [{seed}]", alias=CHALLENGER)
        if seed < 3:
            registry.promote("shop", seed, "better", numbers={"points": 1.25}, cycle="000002")
    registry.refuse("shop", 3, ("boots lost 7 points.",), {"points": -7.0})
    return registry


def run(registry: Registry, *words: str, columns: int = 200) -> Result:
    environment = {"HANGTAG_REGISTRY": registry.place, "COLUMNS": str(columns)}
    done = CliRunner().invoke(make_app(["worker"]), ["models", *words], env=environment, catch_exceptions=True)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def asked(registry: Registry, *words: str) -> object:
    done = run(registry, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_table_shows_what_there_is(registry: Registry) -> None:
    rows = [line for line in run(registry).stdout.splitlines() if "shop" in line]
    assert len(rows) == 3
    for said in ("champion", "70.0% (validation)", "0.00 MB", "just now"):
        assert said in rows[1]
    assert ["refused" in row for row in rows] == [False, False, True]
    assert "challenger" in rows[2]
    assert "97.7% (216 out-of-fold)" in rows[2]
    versions = asked(registry)
    assert [(one["version"], one["aliases"], one["refused"]) for one in versions] == [
        (1, [], []),
        (2, [CHAMPION], []),
        (3, [CHALLENGER], ["boots lost 7 points."]),
    ]
    assert versions[0]["published_at"].endswith("+00:00")
    assert versions[0]["bytes"] == len(b"network 1")
    figures = {"accuracy": 0.9769, "photos": 216, "split": "out-of-fold"}
    assert [one["measured"] for one in versions] == [None, None, figures]


def test_an_empty_registry_says_how_to_begin(tmp_path: Path) -> None:
    assert "hangtag models publish" in run(open_registry(str(tmp_path / "none"))).stdout


def test_a_model_that_cannot_be_read_hides_no_other(registry: Registry) -> None:
    broken = registry.model_storage("broken")
    broken.commit("history/000001.json", b"{")
    done = run(registry)
    assert done.exit_code == 0
    assert "broken: history/000001.json" in done.stderr
    assert done.stdout.count("shop") == 3


def test_what_is_published_was_verified_and_is_told(tmp_path: Path, bundle: Path, small_run: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    done = run(registry, "publish", str(bundle), "--name", "shop", "--run", str(small_run))
    assert "Published: shop@1, in" in done.stdout
    assert "It promises precision 0.90." in done.stdout
    assert "hangtag models promote shop@1" in done.stdout
    assert registry.state("shop").aliases == {}
    kept = {"splits.csv": "splits.csv", "best.keras": "weights/best.keras", "args.json": "args.json"}
    kept |= {name: name for name in ("report.html", "confusion_matrix.png", "classes.csv")}
    for name, place in kept.items():
        data = (small_run / place).read_bytes()
        expected = without_file_links(data) if name == "report.html" else data  # they would lead nowhere there
        assert registry.training("shop", 1, name).read_bytes() == expected
    again = asked(registry, "publish", str(bundle), "--name", "shop", "--promote", "--why", "first")
    assert again == {"model": "shop", "version": 1, "new": False, "aliases": [CHAMPION]}
    assert [event.why for event in registry.history("shop").events()] == ["published by hand", "first"]
    staged = asked(registry, "publish", str(bundle), "--name", "shop", "--alias", "staging")
    assert staged["aliases"] == [CHAMPION, "staging"]


def test_a_model_that_promises_nothing_is_said_to(tmp_path: Path, unsure_bundle: Path, bundle: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    said = "It promises no precision: all rows go to review, unless --threshold is asked for."
    assert said in run(registry, "publish", str(unsure_bundle), "--name", "shop").stdout
    assert said in run(registry, "promote", "shop@1", "--why", "the first").stdout
    run(registry, "publish", str(bundle), "--name", "shop", "--promote", "--why", "better")
    assert [one["promise"] for one in asked(registry)] == ["none", "0.90"]
    lines = [line for line in run(registry).stdout.splitlines() if "shop" in line]
    assert ["none" in line for line in lines] == [True, False]
    assert said in run(registry, "rollback", "shop", "--why", "worse").stdout
    settings = {one["name"]: one for one in asked(registry, "diff", "shop@1", "shop@2")["settings"]}
    promised = settings["float32 precision promised"]
    assert (promised["before"], promised["after"]) == ("none", "0.90")
    assert [event.numbers["precision"] for event in registry.history("shop").events() if event.numbers] == [None, 0.9]


def test_a_bundle_that_is_not_sound_is_not_published(tmp_path: Path, bundle: Path) -> None:
    registry, spoiled = open_registry(str(tmp_path / "registry")), Path(shutil.copytree(bundle, tmp_path / "spoiled"))
    (spoiled / "labels.txt").write_text("a\nb\n")
    with pytest.raises(BundleError, match=r"is refused, labels\.txt: .*hangtag verify"):
        run(registry, "publish", str(spoiled), "--name", "shop")
    with pytest.raises(BundleError, match="is refused"):
        run(registry, "publish", str(write_paper_bundle(tmp_path / "paper", 1)), "--name", "shop")
    assert registry.names() == []


def test_a_run_of_another_bundle_is_refused(registry: Registry, tmp_path: Path, small_run: Path) -> None:
    with pytest.raises(InputError, match="another architecture, other classes or another image size"):
        run(registry, "publish", str(tmp_path / "1"), "--name", "shop", "--run", str(small_run))
    with pytest.raises(InputError, match=r"found no .*splits\.csv"):
        run(registry, "publish", str(tmp_path / "1"), "--name", "shop", "--run", str(tmp_path / "1"))


def test_a_refused_version_is_promoted_by_force_only(registry: Registry) -> None:
    registry.refuse("shop", 3, ("boots lost.", "it is slow."), {})
    with pytest.raises(RegistryError, match=r"was refused: boots lost; it is slow\. Promote it with --force"):
        run(registry, "promote", "shop@challenger", "--why", "I like it")
    with pytest.raises(RegistryError, match="Expected a reason"):
        run(registry, "promote", "shop@challenger", "--why", "", "--force")
    assert "shop@3 is the champion now" in run(registry, "promote", "shop@3", "--why", "sure", "--force").stdout
    assert "champion already" in run(registry, "promote", "shop@3", "--why", "sure").stdout
    assert "promoted by force" in run(registry, "history", "shop").stdout


def test_a_reason_is_asked_for_only_by_force_and_delete(registry: Registry) -> None:
    assert "shop@1 is the champion now" in run(registry, "promote", "shop@1").stdout
    assert "shop@2 is the champion again" in run(registry, "rollback", "shop").stdout
    assert "staging means shop@1 now" in run(registry, "alias", "shop@1", "staging").stdout
    assert "no alias staging any more" in run(registry, "alias", "shop@1", "staging", "--remove").stdout
    assert [event.why for event in registry.history("shop").events()[-4:]] == [""] * 4
    registry.promote("shop", 1, "", numbers={"points": 2.5})
    assert "points 2.5" in run(registry, "history", "shop").stdout


USAGE = {
    "publish 1 --name shop --promote --alias staging": "leave one of them out",
    "--registry . history shop": "stand after it",
    "delete shop@1": "--why",
    "shop@2": "hangtag models history shop",
    "promot": "Did you mean 'promote'",
    "diff shop@1 shop@2 --rows 9": "--rows needs --catalogue",
    "diff shop@1 shop@2 --html a.html": "--html needs --catalogue",
    "diff shop@1 shop@2 --image-root photos": "--image-root needs --catalogue",
    "diff shop@1 shop@2 --allow-host cdn.example": "--allow-host needs --catalogue",
}


@pytest.mark.parametrize(("words", "said"), USAGE.items(), ids=USAGE)
def test_what_cannot_be_asked_is_told(registry: Registry, words: str, said: str) -> None:
    done = run(registry, *words.split())
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())


def test_the_history_says_who_what_when_why_and_with_which_numbers(registry: Registry) -> None:
    lines = run(registry, "history", "shop").stdout.splitlines()
    assert "made-up [1]" in next(line for line in lines if "published" in line)
    assert "points -7" in [line for line in lines if "@" in line][-1]
    told = [json.loads(line) for line in run(registry, "history", "shop", "--json").stdout.splitlines()]
    assert [event["what"] for event in told] == ["published", "promoted"] * 2 + ["published", "refused"]
    assert told[1]["numbers"] == {"points": 1.25}
    assert told[1]["cycle"] == "000002"
    assert told[1]["at"].endswith("+00:00")


def test_a_history_can_be_read_on_80_columns(registry: Registry) -> None:
    why = "it finds the boots of this winter"
    registry.promote("shop", 1, why, cycle="000003")
    shown = run(registry, "history", "shop", columns=80).stdout
    assert "just now" in shown
    assert "in cycle 000003" in shown
    assert "it finds the boots" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_two_versions_are_told_apart(registry: Registry) -> None:
    diff = asked(registry, "diff", "shop@1", "shop@champion")
    assert (diff["before"], diff["after"]) == ("shop@1", "shop@2")
    assert (diff["labels_added"], diff["labels_removed"]) == (["coats"], ["hats"])
    accuracy = next(one for one in diff["settings"] if one["name"] == "float32 validation accuracy")
    assert (accuracy["before"], accuracy["after"]) == (0.6, 0.7)
    assert [event["what"] for event in diff["between"]] == ["promoted", "published"]
    text = run(registry, "diff", "shop@1", "shop@2").stdout
    assert "Labels added: coats" in text
    assert "60.0%" in text
    assert "preprocess size" in text.partition("The same in both:")[2]


def test_versions_of_two_models_have_nothing_between(registry: Registry, tmp_path: Path) -> None:
    registry.publish("outlet", tmp_path / "1", "")
    diff = asked(registry, "diff", "shop@1", "outlet@1")
    assert diff["between"] == []
    assert all(one["before"] == one["after"] for one in diff["settings"])


def test_a_version_is_deleted_by_its_number(registry: Registry) -> None:
    with pytest.raises(InputError, match="by its number"):
        run(registry, "delete", "shop@champion", "--why", "old")
    with pytest.raises(RegistryError, match="Expected a reason to delete shop@1, got none; give it with --why"):
        run(registry, "delete", "shop@1", "--why", " ")
    with pytest.raises(RegistryError, match=r"shop@3 is challenger; .*models alias shop@3 challenger --remove"):
        run(registry, "delete", "shop@3", "--why", "worse")
    run(registry, "alias", "shop@3", "challenger", "--remove", "--why", "to delete it")
    assert run(registry, "delete", "shop@3", "--why", "worse").stdout.strip() == "shop@3 is gone."
    assert [one["version"] for one in asked(registry)] == [1, 2]
    assert asked(registry, "delete", "shop@3", "--why", "worse") is None


def test_who_deletes_the_only_way_back_is_told(registry: Registry) -> None:
    before, now = registry.state("shop").champions[-2:]
    said = run(registry, "delete", f"shop@{before}", "--why", "old").stdout
    assert "It was the last that hangtag models rollback could go back to." in " ".join(said.split())
    with pytest.raises(RegistryError, match=rf"found none \({before} deleted\); .*promote another version"):
        run(registry, "rollback", "shop", "--why", "worse")
    assert registry.resolve("shop", CHAMPION) == now


@pytest.mark.parametrize("model", ["shop", "@3", "shop@", "shop@9"])
def test_what_names_no_version_is_refused(registry: Registry, model: str) -> None:
    with pytest.raises(HangtagError, match=r"such as shop@4|found champion, challenger, 1, 2, 3 of shop"):
        run(registry, "promote", model, "--why", "sure")


NOW = datetime(2026, 11, 22, 3, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("2026-11-22T03:00:30+00:00", "just now"), ("2026-11-22T02:59:30+00:00", "just now"),
        ("2026-11-22T02:59:00+00:00", "1 minute ago"), ("2026-11-22T02:01:00+00:00", "59 minutes ago"),
        ("2026-11-22T03:00:00+02:00", "2 hours ago"), ("2024-11-01T03:00:00+00:00", "2 years ago"),
    ],
)  # fmt: skip
def test_people_are_told_how_long_ago(then: str, said: str) -> None:
    assert ago(then, NOW) == said
