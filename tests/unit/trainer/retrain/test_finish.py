from models.errors import MissingExtraError
from models.registry.history import CHAMPION
from tests.paper_cycle import PaperShop, PaperView
from trainer.retrain.config import DriftSettings, MlflowSettings
from trainer.retrain.cycle import CycleOptions
from trainer.retrain.cycle_folder import CycleStatus


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
        told.append(of[3:])
        return "run-1"

    told = []
    config = shop.config.model_copy(update={"mlflow": MlflowSettings(uri="http://127.0.0.1:1")})
    shop.run(config=config, log_cycle=away)
    shop.registry.rollback("shop", "customers complain")
    undrifted = config.model_copy(update={"drift": DriftSettings(jobs=("jobs",))})
    assert shop.run(CycleOptions(when="drift"), undrifted, log_cycle=back).status is CycleStatus.NOTHING_NEW
    assert shop.run(config=config, log_cycle=back).status is CycleStatus.NOTHING_NEW
    assert told == [("shop", 2, True, {CHAMPION: 1})]
