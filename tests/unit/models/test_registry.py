import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from models.bundle import open_bundle
from models.errors import BundleError, RegistryError
from models.registry.history import CHALLENGER, CHAMPION, What
from models.registry.registry import Published, Registry, check_model_name, open_registry
from models.storage.storage import FolderStorage
from tests.paper_bundle import write_paper_bundle


@dataclass(frozen=True)
class _Watched(FolderStorage):
    name: str
    todo: list[Callable[[], object]] = field(compare=False)

    def commit(self, key: str, data: bytes) -> bool:
        self._meanwhile(key)
        return super().commit(key, data)

    def read(self, key: str) -> bytes:
        data = super().read(key)
        self._meanwhile(key)
        return data

    def child(self, folder: str) -> "_Watched":
        return _Watched(self.root / folder, self.name, self.todo)

    def _meanwhile(self, key: str) -> None:
        if key.endswith(self.name) and self.todo:
            self.todo.pop()()


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return open_registry(str(tmp_path / "registry"))


@pytest.fixture
def bundles(tmp_path: Path) -> list[Path]:
    return [write_paper_bundle(tmp_path / f"bundle-{seed}", seed) for seed in range(4)]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def publish_all(registry: Registry, bundles: list[Path]) -> None:
    for bundle in bundles:
        registry.publish("shop", bundle, "a test")


def test_a_published_bundle_is_there_as_it_was(registry: Registry, bundles: list[Path]) -> None:
    assert registry.publish("shop", bundles[0], "first") == Published(1, new=True)
    assert contents(registry.path("shop", 1)) == contents(bundles[0])
    assert registry.names() == ["shop"]
    assert registry.state("shop").aliases == {}
    assert registry.state("shop").versions[1].digest == open_bundle(bundles[0]).digest


def test_the_same_bundle_has_one_version(registry: Registry, bundles: list[Path]) -> None:
    publish_all(registry, bundles[:2])
    assert registry.publish("shop", bundles[0], "again", alias="staging") == Published(1, new=False)
    assert [event.what for event in registry.history("shop").events()] == [What.PUBLISHED, What.PUBLISHED]
    assert registry.state("shop").aliases == {}


def test_what_somebody_spoiled_in_a_version_is_said_and_mended(registry: Registry, bundles: list[Path]) -> None:
    publish_all(registry, bundles[:1])
    (registry.path("shop", 1) / "manifest.json").write_bytes((bundles[1] / "manifest.json").read_bytes())
    with pytest.raises(BundleError, match="shop@1"):
        registry.path("shop", 1)
    publish_all(registry, bundles[:1])
    assert contents(registry.path("shop", 1)) == contents(bundles[0])


def test_what_a_retraining_starts_from_is_kept_and_never_changed(registry, bundles, tmp_path) -> None:
    splits, best = tmp_path / "splits.csv", tmp_path / "best.keras"
    splits.write_bytes(b"one")
    best.write_bytes(b"weights")
    registry.publish("shop", bundles[0], "", training={"splits.csv": splits})
    splits.write_bytes(b"two")
    registry.publish("shop", bundles[0], "", training={"splits.csv": splits, "best.keras": best})
    found = [registry.training("shop", 1, name) for name in ("splits.csv", "best.keras")]
    assert [path and path.read_bytes() for path in found] == [b"one", b"weights"]
    assert registry.training("shop", 1, "args.json") is None


def test_a_promotion_moves_the_champion_and_ends_a_challenge(registry: Registry, bundles: list[Path]) -> None:
    registry.publish("shop", bundles[0], "", alias=CHALLENGER)
    event = registry.promote("shop", 1, "better", numbers={"points": 2.5}, cycle="000003", instead_of=0)
    assert (event.what, event.version, event.why, event.numbers) == (What.PROMOTED, 1, "better", {"points": 2.5})
    assert "@" in event.by
    assert registry.state("shop").aliases == {CHAMPION: 1}
    assert registry.promote("shop", 1, "again") is None


def test_what_a_gate_refused_needs_force_and_a_reason(registry: Registry, bundles: list[Path]) -> None:
    publish_all(registry, bundles[:1])
    assert registry.refuse("shop", 1, ("boots lost 7 points.",), {"points": -7.0}, "000001") is not None
    assert registry.refuse("shop", 1, ("boots lost 7 points.",), {"points": -7.0}) is None
    with pytest.raises(RegistryError, match="boots lost 7 points"):
        registry.promote("shop", 1, "I like it")
    with pytest.raises(RegistryError, match="--why"):
        registry.promote("shop", 1, " ", force=True)
    event = registry.promote("shop", 1, "boots are gone", force=True)
    assert event.forced


def test_a_rollback_goes_back_step_by_step(registry: Registry, bundles: list[Path]) -> None:
    publish_all(registry, bundles[:3])
    for version in (1, 2, 3):
        registry.promote("shop", version, "")
    registry.alias("shop", 2, CHALLENGER, "")
    assert registry.rollback("shop", "worse at night").version == 2
    assert registry.state("shop").aliases == {CHAMPION: 2}
    assert registry.rollback("shop", "").version == 1
    with pytest.raises(RegistryError, match="shop"):
        registry.rollback("shop", "")


@pytest.mark.parametrize("alias", ["", "7", "a b", "../x"])
def test_what_can_be_no_alias_is_refused(registry: Registry, bundles: list[Path], alias: str) -> None:
    with pytest.raises(RegistryError, match="alias"):
        registry.publish("shop", bundles[0], "", alias=alias)


def test_the_champion_is_moved_by_promotions_only(registry: Registry, bundles: list[Path]) -> None:
    registry.publish("shop", bundles[0], "", alias=CHAMPION)
    for move in (registry.alias, registry.remove_alias):
        with pytest.raises(RegistryError, match="champion"):
            move("shop", 1, CHAMPION, "")


def test_a_deleted_version_is_gone_and_its_number_never_comes_back(registry: Registry, bundles: list[Path]) -> None:
    registry.publish("shop", bundles[0], "", training={"splits.csv": bundles[0] / "labels.txt"})
    registry.publish("shop", bundles[1], "")
    folder = registry.path("shop", 1)
    assert registry.delete("shop", 1, "too large") is not None
    assert not folder.exists()
    assert not (folder.parent / "training" / "1").exists()
    assert registry.delete("shop", 1, "too large") is None
    with pytest.raises(RegistryError, match="shop"):
        registry.resolve("shop", "1")
    with pytest.raises(RegistryError, match="version 1 of shop"):
        registry.path("shop", 1)
    assert registry.publish("shop", bundles[0], "back") == Published(3, new=True)


@pytest.mark.parametrize(
    ("alias", "advice"), [(CHAMPION, "models rollback shop"), (CHALLENGER, "models alias shop@1 challenger --remove")]
)
def test_what_an_alias_means_is_not_deleted(registry: Registry, bundles: list[Path], alias: str, advice: str) -> None:
    registry.publish("shop", bundles[0], "", alias=alias)
    with pytest.raises(RegistryError, match=f"{alias}.*{advice}"):
        registry.delete("shop", 1, "old")
    assert registry.path("shop", 1).is_dir()


@pytest.mark.parametrize("after", ["delete", "publish"])
def test_what_a_killed_deletion_left_goes_with_the_next_change(registry, bundles, after) -> None:
    registry.publish("shop", bundles[0], "", training={"splits.csv": bundles[0] / "labels.txt"})
    registry.publish("shop", bundles[1], "")
    folder = registry.path("shop", 1)
    left = {str(place): contents(place) for place in (folder, folder.parent / "training" / "1")}
    registry.delete("shop", 1, "old")
    for place, files in left.items():
        for name, data in files.items():
            (Path(place) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(place) / name).write_bytes(data)
    if after == "delete":
        registry.delete("shop", 2, "old")
    else:
        registry.publish("shop", bundles[2], "")
    assert not any(Path(place).exists() for place in left)


def test_another_publish_never_takes_the_number_of_a_killed_one(
    registry: Registry, bundles: list[Path], tmp_path: Path
) -> None:
    claims = tmp_path / "registry" / "shop" / "claims"
    claims.mkdir(parents=True)
    (claims / "000001.json").write_text(json.dumps({"digest": open_bundle(bundles[0]).digest}))
    publish_all(registry, bundles[1:3])
    registry.promote("shop", 3, "")
    assert registry.publish("shop", bundles[0], "at last") == Published(1, new=True)
    state = registry.state("shop")
    assert (sorted(state.versions), state.aliases, state.last_version) == ([1, 2, 3], {CHAMPION: 3}, 3)


def test_a_champion_that_is_replaced_and_deleted_while_it_is_looked_up_is_the_new_one(registry, bundles) -> None:
    def meanwhile() -> None:
        registry.promote("shop", 2, "better")
        registry.delete("shop", 1, "worse")

    publish_all(registry, bundles[:2])
    registry.promote("shop", 1, "")
    slow = Registry(_Watched(Path(registry.place), "history/000003.json", [meanwhile]))
    assert slow.find("shop", CHAMPION) == (2, registry.path("shop", 2))


def test_a_promotion_sees_that_its_version_was_deleted_meanwhile(registry: Registry, bundles: list[Path]) -> None:
    publish_all(registry, bundles[:2])
    slow = Registry(_Watched(Path(registry.place), "000003.json", [lambda: registry.delete("shop", 2, "worse")]))
    with pytest.raises(RegistryError, match="version 2 of shop"):
        slow.promote("shop", 2, "better")
    assert registry.state("shop").aliases == {}


def test_a_deletion_sees_that_its_version_was_promoted_meanwhile(registry: Registry, bundles: list[Path]) -> None:
    publish_all(registry, bundles[:2])
    slow = Registry(_Watched(Path(registry.place), "000003.json", [lambda: registry.promote("shop", 2, "better")]))
    with pytest.raises(RegistryError, match="shop@2"):
        slow.delete("shop", 2, "worse")
    assert registry.find("shop", CHAMPION)[1].is_dir()


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a b", "a" * 65, "shop\n"])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    with pytest.raises(RegistryError, match="a model"):
        check_model_name(name)
