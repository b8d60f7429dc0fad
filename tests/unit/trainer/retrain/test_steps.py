from models.errors import MissingExtraError
from models.registry.history import CHALLENGER, CHAMPION
from tests.paper_cycle import PaperShop, PaperView
from trainer.retrain.config import MlflowSettings
from trainer.retrain.cycle_folder import CycleStatus


def test_a_refused_challenger_is_kept_and_is_champion_of_nothing(shop: PaperShop) -> None:
    shop.passes = False
    outcome = shop.run()
    assert (outcome.status, outcome.reasons) == (CycleStatus.REFUSED, ("10 points better",))
    state = shop.registry.state("shop")
    assert state.aliases == {CHAMPION: 1, CHALLENGER: 2}
    assert state.versions[2].refused == ("10 points better",)


def test_a_champion_that_moved_is_compared_with(shop: PaperShop) -> None:
    shop.stop_at("judge")
    shop.publish_champion(901)
    view = PaperView()
    outcome = shop.run(view=view)
    assert (outcome.champion, outcome.challenger) == ("shop@2", "shop@3")
    assert "compare with shop@2" in shop.calls
    assert "Another version of shop is champion now" in view.notes[1]


def test_a_person_who_was_quicker_has_decided(shop: PaperShop) -> None:
    shop.passes = False
    shop.stop_at("write_report")
    shop.registry.promote("shop", 2, "I know better", force=True)
    shop.registry.rollback("shop", "no, I do not")
    assert shop.run().status is CycleStatus.REFUSED
    assert shop.champion() == 1


def test_a_person_can_promote_a_refused_challenger(shop: PaperShop) -> None:
    shop.passes = False
    shop.stop_at("write_report")
    shop.registry.promote("shop", 2, "I know better", force=True)
    assert shop.run().status is CycleStatus.PROMOTED


def test_an_unreachable_tracking_server_is_reported_and_stops_no_step(shop: PaperShop) -> None:
    def away(*of: object) -> str:
        msg = "no server"
        raise MissingExtraError(msg)

    view = PaperView()
    config = shop.asked(mlflow=MlflowSettings(uri="http://127.0.0.1:1"))
    assert shop.run(config=config, view=view, log_cycle=away).status is CycleStatus.PROMOTED
    assert view.notes == ["Not logged: no server"]
