import pytest

from models.errors import MissingExtraError, RegistryError
from models.registry.history import What
from models.registry.state import CHALLENGER, CHAMPION
from tests.paper_cycle import PaperShop, PaperView
from trainer.retrain.config import MlflowSettings
from trainer.retrain.cycle import CycleOptions
from trainer.retrain.cycle_folder import CycleStatus


def test_a_refused_challenger_is_kept_and_is_champion_of_nothing(shop: PaperShop) -> None:
    shop.passes = False
    outcome = shop.run()
    assert (outcome.status, outcome.reasons) == (CycleStatus.REFUSED, ("10 points better",))
    state = shop.registry.state("shop")
    assert state.aliases == {CHAMPION: 1, CHALLENGER: 2}
    assert state.versions[2].refused == ("10 points better",)


def test_force_overrules_the_gate_and_is_told(shop: PaperShop) -> None:
    shop.passes = False
    outcome = shop.run(CycleOptions(force="shoes matter more"))
    assert (outcome.status, outcome.forced) == (CycleStatus.PROMOTED, True)
    *_, refused, last = shop.registry.history("shop").events()
    assert (refused.what, last.forced) == (What.REFUSED, True)
    assert "shoes matter more" in last.why
    assert "10 points better" in last.why


def test_force_of_what_passes_is_an_ordinary_promotion(shop: PaperShop) -> None:
    assert not shop.run(CycleOptions(force="because")).forced


def test_a_champion_that_moved_is_compared_with(shop: PaperShop) -> None:
    shop.stop_at("judge")
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
    shop.stop_at("write_report")
    shop.registry.promote("shop", 2, "I know better", force=True)
    shop.registry.rollback("shop", "no, I do not")
    assert shop.run().status is CycleStatus.REFUSED
    assert shop.champion() == 1


def test_what_a_person_promotes_after_the_gate_refused_it_is_promoted(shop: PaperShop) -> None:
    shop.passes = False
    shop.stop_at("write_report")
    shop.registry.promote("shop", 2, "I know better", force=True)
    outcome = shop.run()
    assert (outcome.status, outcome.forced) == (CycleStatus.PROMOTED, True)


def test_force_overrules_what_was_refused_against_another_champion(shop: PaperShop) -> None:
    shop.passes = False
    shop.stop_at("write_report")
    shop.publish_champion(901)
    shop.passes = True
    outcome = shop.run(CycleOptions(force="better than that one"))
    assert (outcome.status, outcome.champion, outcome.forced) == (CycleStatus.PROMOTED, "shop@3", True)
    assert shop.champion() == 2


def test_a_tracking_server_that_is_away_is_said_and_keeps_nothing_back(shop: PaperShop) -> None:
    def away(*of: object) -> str:
        msg = "no server"
        raise MissingExtraError(msg)

    view = PaperView()
    config = shop.asked(mlflow=MlflowSettings(uri="http://127.0.0.1:1"))
    assert shop.run(config=config, view=view, log_cycle=away).status is CycleStatus.PROMOTED
    assert view.notes == ["Not logged: no server"]


def test_a_decided_cycle_is_logged_with_its_outcome(shop: PaperShop) -> None:
    logged = []
    config = shop.asked(mlflow=MlflowSettings(uri="sqlite:///m.db", experiment="shops"))
    outcome = shop.run(config=config, log_cycle=lambda *of: logged.append(of))
    [(uri, experiment, folder, so_far)] = logged
    assert (uri, experiment, folder.path) == ("sqlite:///m.db", "shops", shop.cycle())
    assert (so_far.status, so_far.version) == (outcome.status, outcome.version)
