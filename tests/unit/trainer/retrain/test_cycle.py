import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from models.errors import BusyError, DataError, InputError, MissingExtraError, RegistryError, StoppedError
from models.registry_history import CHALLENGER, CHAMPION, What
from tests.paper_bundle import write_paper_bundle
from tests.paper_cycle import PaperShop, PaperView, extended, photo_rows, train_on_paper
from trainer.data.dataset import Split
from trainer.retrain.config import CatalogueSettings, DriftSettings, MlflowSettings, TrainSettings
from trainer.retrain.cycle import CycleWish
from trainer.retrain.lock import CycleLock
from trainer.retrain.outcome import CycleStatus
from trainer.splits.assigned import AssignedPhoto, read_splits
from worker.owner import Owner


@pytest.fixture
def shop(tmp_path: Path) -> PaperShop:
    """With a champion of 30 photos, and three new ones."""
    shop = PaperShop(tmp_path)
    shop.put(photo_rows(0, 30))
    shop.publish_champion()
    shop.put(photo_rows(0, 33))
    return shop


def cycle(shop: PaperShop, number: int = 1) -> Path:
    return shop.root / "cycles" / f"{number:06d}"


def stopped_at(shop: PaperShop, tool: str, error: BaseException | None = None) -> None:
    """A cycle that came as far as this tool."""

    def fail(*of: object) -> None:
        raise error or StoppedError("stopped")

    with pytest.raises(type(error or StoppedError(""))):
        shop.run(**{tool: fail})
    shop.calls.clear()


def test_a_better_challenger_is_promoted(shop: PaperShop) -> None:
    view = PaperView()
    outcome = shop.run(view=view)
    assert outcome.status is CycleStatus.PROMOTED
    assert (outcome.champion, outcome.challenger, outcome.version) == ("shop@1", "shop@2", 2)
    assert shop.registry.state("shop").aliases == {CHAMPION: 2}
    assert [step for step in view.steps if step] == [
        *("collect", "train", "export", "compare", "gate", "publish", "decide", "report", "end")
    ]
    assert outcome.seconds.keys() == {step for step in view.steps if step} - {"end"}


def test_the_history_tells_the_cycle_and_its_numbers(shop: PaperShop) -> None:
    shop.run()
    *_, published, promoted = shop.registry.history("shop").events()
    assert (published.what, promoted.what) == (What.PUBLISHED, What.PROMOTED)
    assert promoted.cycle == published.cycle == "000001"
    assert promoted.numbers["points_95"] == [1.0, 19.0]


def test_a_refused_challenger_is_kept_and_is_champion_of_nothing(shop: PaperShop) -> None:
    shop.passes = False
    outcome = shop.run()
    assert (outcome.status, outcome.reasons) == (CycleStatus.REFUSED, ("10 points better",))
    state = shop.registry.state("shop")
    assert state.aliases == {CHAMPION: 1, CHALLENGER: 2}
    assert state.versions[2].refused == ("10 points better",)


def test_force_overrules_the_gate_and_is_told(shop: PaperShop) -> None:
    shop.passes = False
    outcome = shop.run(CycleWish(force="shoes matter more"))
    assert (outcome.status, outcome.forced) == (CycleStatus.PROMOTED, True)
    *_, refused, last = shop.registry.history("shop").events()
    assert (refused.what, last.forced) == (What.REFUSED, True)
    assert "shoes matter more" in last.why
    assert "10 points better" in last.why


def test_force_of_what_passes_is_an_ordinary_promotion(shop: PaperShop) -> None:
    assert not shop.run(CycleWish(force="because")).forced


def test_nothing_new_leaves_no_folder(shop: PaperShop) -> None:
    shop.run()
    shop.calls.clear()
    outcome = shop.run()
    assert outcome.status is CycleStatus.NOTHING_NEW
    assert shop.calls == ["collect"]
    assert [path.name for path in (shop.root / "cycles").iterdir()] == ["000001"]


def test_what_the_champion_has_learned_from_is_not_new(shop: PaperShop) -> None:
    shop.put(photo_rows(0, 30))
    assert shop.run().status is CycleStatus.NOTHING_NEW


def test_other_training_settings_are_a_reason_to_train(shop: PaperShop) -> None:
    shop.run()
    other = shop.config.model_copy(update={"train": TrainSettings(epochs=3)})
    assert shop.run(config=other).status is CycleStatus.PROMOTED


def test_a_first_model_is_trained_from_nothing(tmp_path: Path) -> None:
    shop = PaperShop(tmp_path)
    shop.put(photo_rows(0, 30))
    outcome = shop.run()
    assert (outcome.status, outcome.champion, outcome.version) == (CycleStatus.PROMOTED, None, 1)
    assert shop.calls == ["collect", "train", "export", "compare with None", "judge", "report"]
    assert shop.requests[0].splits is None
    assert shop.requests[0].weights is None


def test_the_splits_of_a_refused_cycle_are_extended_too(shop: PaperShop) -> None:
    shop.passes = False
    shop.run()
    shop.put(photo_rows(0, 36))
    shop.run()
    first, second = ({p.path: p.split for p in read_splits(cycle(shop, n) / "splits.csv")} for n in (1, 2))
    assert (len(first), len(second)) == (33, 36)
    assert first.items() <= second.items()


def test_the_challenger_learns_as_the_champion_did_and_from_its_weights(shop: PaperShop) -> None:
    shop.run()
    request = shop.requests[0]
    assert request.preprocess.size == 48
    assert Path(request.weights).read_bytes() == b"weights"
    assert (request.fold_weights, request.name) == ("none", "shop")
    assert request.splits == cycle(shop) / "earlier.csv"


@pytest.mark.parametrize(
    ("train", "misfit"),
    [
        (TrainSettings(arch="simple"), None),
        (TrainSettings(arch="mobilenet", alpha=0.25), None),
        (TrainSettings(), "another network"),
    ],
)
def test_weights_that_do_not_fit_are_left_and_it_is_said(shop: PaperShop, train: TrainSettings, misfit) -> None:
    view = PaperView()
    shop.run(config=shop.config.model_copy(update={"train": train}), view=view, misfit=lambda *of: misfit)
    assert shop.requests[0].weights is None
    assert "does not begin with the weights of shop@1" in view.notes[0]


def test_weights_of_the_settings_go_before_the_champions_and_it_is_said(shop: PaperShop) -> None:
    view = PaperView()
    shop.run(config=shop.config.model_copy(update={"train": TrainSettings(weights="none")}), view=view)
    assert shop.requests[0].weights == "none"
    assert view.notes == [
        "The challenger does not begin with the weights of shop@1: [train] weights says none, which goes before "
        "warm_start."
    ]


@pytest.mark.parametrize("train", [TrainSettings(warm_start=False), TrainSettings(warm_start=False, weights="none")])
def test_a_cold_start_that_was_asked_for_is_not_news(shop: PaperShop, train: TrainSettings) -> None:
    view = PaperView()
    shop.run(config=shop.config.model_copy(update={"train": train}), view=view)
    assert shop.requests[0].weights == train.weights
    assert view.notes == []


def test_a_champion_of_unknown_training_needs_splits(tmp_path: Path) -> None:
    shop = PaperShop(tmp_path)
    shop.put(photo_rows(0, 33))
    shop.registry.publish("shop", write_paper_bundle(tmp_path / "bare", 1), "by hand")
    shop.registry.promote("shop", 1, "by hand")
    with pytest.raises(InputError, match=r"splits = .*models publish"):
        shop.run()
    train_on_paper(tmp_path / "run", extended([], photo_rows(0, 30)))
    given = shop.config.model_copy(update={"splits": tmp_path / "run" / "splits.csv"})
    assert shop.run(config=given).status is CycleStatus.PROMOTED


def test_a_champion_that_has_learned_from_test_photos_is_refused(shop: PaperShop) -> None:
    shop.run()
    moved = [replace(photo, split=Split.TRAIN) for photo in read_splits(cycle(shop) / "splits.csv")]
    shop.publish_champion(901, photos=moved)
    shop.put(photo_rows(0, 36))
    with pytest.raises(InputError, match=r"shop@3 has not learned from, it has learned from 11 of 11"):
        shop.run()
    assert not cycle(shop, 2).exists()


def test_a_champion_that_another_machine_retrained_brings_its_splits(shop: PaperShop, tmp_path: Path) -> None:
    shop.run()
    elsewhere = extended(read_splits(cycle(shop) / "splits.csv"), photo_rows(0, 36))
    shop.publish_champion(901, photos=elsewhere)
    shop.put(photo_rows(0, 39))
    shop.run()
    assert len(read_splits(cycle(shop, 2) / "earlier.csv")) == 36


STEPS = ("train", "export", "compare", "judge", "write_report")


@pytest.mark.parametrize("tool", STEPS)
def test_a_stopped_cycle_goes_on_where_it_was(shop: PaperShop, tool: str) -> None:
    stopped_at(shop, tool)
    view = PaperView()
    outcome = shop.run(view=view)
    assert outcome.status is CycleStatus.PROMOTED
    assert "Goes on with cycle 000001" in view.notes[0]
    left = {"train": 6, "export": 4, "compare": 3, "judge": 2, "write_report": 1}[tool]
    assert len(shop.calls) == left - (tool == "train")
    assert list(shop.registry.state("shop").versions) == [1, 2]


def test_a_training_that_was_interrupted_is_resumed(shop: PaperShop) -> None:
    def interrupted(request, view) -> None:
        train_on_paper(request.run, extended([], photo_rows(0, 33)))
        args = json.loads((request.run / "args.json").read_text())
        (request.run / "args.json").write_text(json.dumps(args | {"state": "interrupted"}))

    with pytest.raises(StoppedError, match="what it has learned is kept"):
        shop.run(train=interrupted)
    shop.calls.clear()
    assert shop.run().status is CycleStatus.PROMOTED
    assert shop.calls[0] == "resume"


def test_it_keeps_to_the_settings_it_began_with(shop: PaperShop) -> None:
    stopped_at(shop, "train")
    view = PaperView()
    shop.run(config=shop.config.model_copy(update={"train": TrainSettings(epochs=3)}), view=view)
    assert shop.requests[0].epochs is None
    assert "--restart" in view.notes[1]


def test_restart_abandons_it_and_its_number(shop: PaperShop) -> None:
    stopped_at(shop, "export")
    outcome = shop.run(CycleWish(restart=True))
    assert (outcome.status, outcome.number) == (CycleStatus.PROMOTED, 2)
    assert json.loads((cycle(shop) / "outcome.json").read_text())["status"] == "failed"
    assert not (cycle(shop) / "run").exists()


def test_restart_does_not_take_back_a_decision(shop: PaperShop) -> None:
    stopped_at(shop, "write_report")
    assert shop.run(CycleWish(restart=True)).number == 1


def test_photos_that_cannot_be_learned_from_end_the_cycle(shop: PaperShop) -> None:
    stopped_at(shop, "train", DataError("one class only"))
    assert json.loads((cycle(shop) / "outcome.json").read_text())["reasons"] == ["one class only"]
    assert shop.run().number == 2


def test_a_number_of_another_machine_is_not_used_again(shop: PaperShop) -> None:
    shop.run()
    elsewhere = shop.config.model_copy(update={"folder": shop.root / "elsewhere"})
    shop.put(photo_rows(0, 36))
    assert shop.run(config=elsewhere).number == 2


def test_a_champion_that_moved_is_compared_with(shop: PaperShop) -> None:
    stopped_at(shop, "judge")
    shop.publish_champion(901)
    view = PaperView()
    outcome = shop.run(view=view)
    assert (outcome.champion, outcome.challenger) == ("shop@2", "shop@3")
    assert "compare with shop@2" in shop.calls
    assert "Another version of shop is champion by now" in view.notes[1]


def test_champions_that_keep_moving_are_an_error(shop: PaperShop) -> None:
    seeds = iter(range(901, 999))

    def judge(*of):
        shop.publish_champion(next(seeds))
        return shop.tools().judge(*of)

    with pytest.raises(RegistryError, match="3 times"):
        shop.run(judge=judge)


def test_a_person_who_was_quicker_has_decided(shop: PaperShop) -> None:
    shop.passes = False
    stopped_at(shop, "write_report")
    shop.registry.promote("shop", 2, "I know better", force=True)
    shop.registry.rollback("shop", "no, I do not")
    assert shop.run().status is CycleStatus.REFUSED
    assert shop.champion() == 1


def test_what_a_person_promotes_after_the_gate_refused_it_is_promoted(shop: PaperShop) -> None:
    shop.passes = False
    stopped_at(shop, "write_report")
    shop.registry.promote("shop", 2, "I know better", force=True)
    outcome = shop.run()
    assert (outcome.status, outcome.forced) == (CycleStatus.PROMOTED, True)


def test_force_overrules_what_was_refused_against_another_champion(shop: PaperShop) -> None:
    shop.passes = False
    stopped_at(shop, "write_report")
    shop.publish_champion(901)
    shop.passes = True
    outcome = shop.run(CycleWish(force="better than that one"))
    assert (outcome.status, outcome.champion, outcome.forced) == (CycleStatus.PROMOTED, "shop@3", True)
    assert shop.champion() == 2


def test_after_a_rollback_the_same_photos_are_not_new(shop: PaperShop) -> None:
    shop.run()
    shop.registry.rollback("shop", "customers complain")
    assert shop.run().status is CycleStatus.NOTHING_NEW
    assert shop.champion() == 1


def test_two_at_once_are_refused(shop: PaperShop) -> None:
    with CycleLock(shop.registry.model_storage("shop")).held(), pytest.raises(BusyError):
        shop.run()
    assert shop.calls == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt, StoppedError])
def test_a_step_that_another_process_has_taken_over_ends_as_busy(shop: PaperShop, stop: type[BaseException]) -> None:
    def train(*of: object) -> None:
        holder = {"owner": asdict(replace(Owner.this(), machine="elsewhere")), "since": ""}
        shop.registry.model_storage("shop").commit("cycle/000002.json", json.dumps(holder).encode())
        raise stop

    with pytest.raises(BusyError, match="with number 2 while this one was silent"):
        shop.run(train=train)


def test_real_rows_are_compared_where_asked_for(shop: PaperShop) -> None:
    config = shop.config.model_copy(update={"catalogue": CatalogueSettings(source="rows.csv")})
    shop.run(config=config)
    assert "catalogue" in shop.calls
    assert (cycle(shop) / "catalogue.json").is_file()


def test_a_tracking_server_that_is_away_is_said_and_keeps_nothing_back(shop: PaperShop) -> None:
    def away(*of: object) -> str:
        msg = "no server"
        raise MissingExtraError(msg)

    view = PaperView()
    config = shop.config.model_copy(update={"mlflow": MlflowSettings(uri="http://127.0.0.1:1")})
    assert shop.run(config=config, view=view, log_cycle=away).status is CycleStatus.PROMOTED
    assert view.notes == ["Not logged to http://127.0.0.1:1: no server"]


def test_a_tracking_server_that_was_away_is_told_when_there_is_nothing_new(shop: PaperShop) -> None:
    def away(*of: object) -> str:
        msg = "no server"
        raise MissingExtraError(msg)

    def back(*of: object) -> str:
        told.append(of[2:])
        return "run-1"

    told = []
    config = shop.config.model_copy(update={"mlflow": MlflowSettings(uri="http://127.0.0.1:1")})
    shop.run(config=config, log_cycle=away)
    shop.registry.rollback("shop", "customers complain")
    for _ in range(2):
        assert shop.run(config=config, log_cycle=back).status is CycleStatus.NOTHING_NEW
    assert told == [("shop", 2, True, {CHAMPION: 1})]


def test_a_champion_that_is_deleted_while_photos_are_read_is_an_error_that_says_so(shop: PaperShop) -> None:
    def collect(*of):
        shop.publish_champion(901)
        shop.registry.delete("shop", 1, "old")
        return shop.tools().collect(*of)

    with pytest.raises(RegistryError, match="replaced and deleted meanwhile; run hangtag retrain again"):
        shop.run(collect=collect)
    assert shop.run().status is CycleStatus.NOTHING_NEW, "that champion knows these photos"


def test_settings_of_a_later_hangtag_are_told_of(shop: PaperShop) -> None:
    stopped_at(shop, "judge")
    start = cycle(shop) / "cycle.json"
    began = json.loads(start.read_text())
    began["config"]["gate"]["later"] = 1
    start.write_text(json.dumps(began))
    with pytest.raises(InputError, match=r"cycle\.json that this Hangtag knows.*--restart"):
        shop.run()


def test_test_photos_of_the_champion_that_are_gone_count_against_the_test(shop: PaperShop) -> None:
    gone = next(photo.path for photo in champions_splits(shop) if photo.split is Split.TEST)
    shop.put([row for row in photo_rows(0, 33) if row[0] != str(gone)])
    shop.run()
    assert json.loads((cycle(shop) / "comparison.json").read_text())["unread"] == 1


def champions_splits(shop: PaperShop) -> list[AssignedPhoto]:
    return read_splits(shop.registry.training("shop", 1, "splits.csv"))


def test_drift_is_a_reason_only_when_a_job_has_drifted(shop: PaperShop) -> None:
    config = shop.config.model_copy(update={"drift": DriftSettings(jobs=("jobs",))})
    asked = []
    outcome = shop.run(CycleWish(when="drift"), config, drifted_jobs=lambda *of: asked.append(of[:3]) or [])
    assert outcome.status is CycleStatus.NOTHING_NEW
    assert "no job of shop@1 has drifted since" in outcome.reasons[0]
    last = shop.registry.history("shop").last()
    assert asked == [(("jobs",), shop.registry.state("shop").versions[1].digest, last.at)]
    assert shop.run(CycleWish(when="drift"), config, drifted_jobs=lambda *of: ["a"]).status is CycleStatus.PROMOTED


def test_drift_counts_from_when_a_version_became_champion_however_that_was(shop: PaperShop) -> None:
    config = shop.config.model_copy(update={"drift": DriftSettings(jobs=("jobs",))})
    bundle = write_paper_bundle(shop.config.folder / "by-hand", 77)
    shop.registry.publish("shop", bundle, "by hand", alias=CHAMPION)
    came = shop.registry.history("shop").last()
    shop.registry.alias("shop", 2, "staging", "later")
    asked = []
    shop.run(CycleWish(when="drift"), config, drifted_jobs=lambda *of: asked.append(of[2]) or [])
    assert asked == [came.at]


def test_drift_needs_to_know_where_jobs_are(shop: PaperShop) -> None:
    with pytest.raises(InputError, match=r"under \[drift\]"):
        shop.run(CycleWish(when="drift"))


def test_old_cycles_keep_what_tells_of_them(shop: PaperShop) -> None:
    config = shop.config.model_copy(update={"keep": 1})
    for end in (33, 36, 39):
        shop.put(photo_rows(0, end))
        shop.run(config=config)
    assert {path.name for path in cycle(shop).iterdir()} == {
        *("collected.json", "cycle.json", "comparison.json", "verdict.json", "published.json", "seconds.json"),
        *("splits.csv", "report.html", "outcome.json"),
    }
    assert (cycle(shop, 3) / "run").is_dir()
