"""Laws of a model's versions after any operations in any order."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import RegistryError
from models.manifest import Measured
from models.registry.history import CHALLENGER, CHAMPION, Changed, State, VersionRules, VersionState
from models.registry.registry import Registry, open_registry
from tests.paper_bundle import write_paper_bundle

VERSIONS = st.integers(1, 4)
ALIASES = st.sampled_from([CHAMPION, CHALLENGER, "staging"])
OPERATIONS = st.one_of(
    st.tuples(st.just("publish"), VERSIONS, st.none() | ALIASES),
    st.tuples(st.just("promote"), VERSIONS, st.booleans()),
    st.tuples(st.just("refuse"), VERSIONS, st.none()),
    st.tuples(st.just("rollback"), st.none(), st.none()),
    st.tuples(st.just("alias"), VERSIONS, ALIASES),
    st.tuples(st.just("unalias"), VERSIONS, ALIASES),
    st.tuples(st.just("delete"), VERSIONS, st.none()),
)
RULES = VersionRules("shop", "registry")


def changed_by(state: State, operation: str, version, detail) -> Changed:
    measured = Measured(accuracy=0.5, photos=9, split="test")
    what = VersionState(
        digest=f"{version or 0:064d}", published_at="2026-11-22", bytes=9, measured=measured, promise="none"
    )
    makers = {
        "publish": lambda: RULES.published(state, version, what, detail),
        "promote": lambda: RULES.promoted(state, version, None, force=detail),
        "refuse": lambda: RULES.refused(state, version, ("worse.",)),
        "rollback": lambda: RULES.rolled_back(state, state.aliases.get(CHAMPION)),
        "alias": lambda: RULES.aliased(state, version, detail),
        "unalias": lambda: RULES.unaliased(state, version, detail),
        "delete": lambda: RULES.deleted(state, version),
    }
    return makers[operation]()


def check_laws(before: State, after: State) -> None:
    assert set(after.aliases.values()) <= set(after.versions), "an alias dangles"
    assert not set(after.versions) & set(after.deleted)
    assert set(before.deleted) <= set(after.deleted), "a deleted version came back"
    assert all(
        after.versions[number].digest == what.digest
        for number, what in before.versions.items()
        if number in after.versions
    )
    assert set(before.versions) - set(after.versions) == set(after.deleted) - set(before.deleted)
    assert after.last_version >= max([before.last_version, *after.versions])
    assert after.aliases.get(CHAMPION) == (after.champions[-1] if after.champions else None)


@given(st.lists(OPERATIONS, max_size=40))
def test_aliases_always_name_versions_that_are_there(operations) -> None:
    state = State()
    for operation in operations:
        try:
            changed = changed_by(state, *operation)
        except RegistryError:
            continue
        if changed is not None:
            check_laws(state, changed[1])
            assert changed[1] != state, "an event always changes the state"
            state = changed[1]
            assert State.model_validate_json(state.model_dump_json()) == state


@settings(max_examples=15, deadline=None)
@given(st.lists(OPERATIONS, max_size=8))
def test_every_version_that_the_history_names_is_whole_on_disk_and_no_other_is(operations) -> None:
    with tempfile.TemporaryDirectory() as name:
        registry = open_registry(str(Path(name, "registry")))
        bundles = {seed: write_paper_bundle(Path(name, str(seed)), seed) for seed in range(1, 5)}
        for operation in operations:
            try:
                _do(registry, bundles, *operation)
            except RegistryError:
                continue
        state = registry.history("shop").state()
        folders = {folder for folder in registry.model_storage("shop").folders() if folder.isdecimal()}
        assert folders == set(map(str, state.versions))
        for version in state.versions:
            assert (registry.path("shop", version) / "manifest.json").is_file()
        for alias, version in state.aliases.items():
            assert registry.resolve("shop", alias) == version


def _do(registry: Registry, bundles: dict[int, Path], operation: str, version, detail) -> None:
    match operation:
        case "publish":
            registry.publish("shop", bundles[version], "", alias=detail)
        case "promote":
            registry.promote("shop", version, "a test", force=detail)
        case "refuse":
            registry.refuse("shop", version, ("worse.",), {})
        case "rollback":
            registry.rollback("shop", "")
        case "alias":
            registry.alias("shop", version, detail, "")
        case "unalias":
            registry.remove_alias("shop", version, detail, "")
        case _:
            registry.delete("shop", version, "")
