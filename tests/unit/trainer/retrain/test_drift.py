import pytest

from models.errors import InputError
from models.registry.history import CHAMPION
from tests.paper_bundle import write_paper_bundle
from tests.paper_cycle import PaperShop
from trainer.retrain.config import DriftSettings
from trainer.retrain.cycle import CycleOptions
from trainer.retrain.cycle_folder import CycleStatus


def test_drift_is_a_reason_only_when_a_job_has_drifted(shop: PaperShop) -> None:
    config = shop.config.model_copy(update={"drift": DriftSettings(jobs=("jobs",))})
    asked = []
    outcome = shop.run(CycleOptions(when="drift"), config, drifted_jobs=lambda *of: asked.append(of[:3]) or [])
    assert outcome.status is CycleStatus.NOTHING_NEW
    assert "no job of shop@1 has drifted since" in outcome.reasons[0]
    last = shop.registry.history("shop").last()
    assert asked == [(("jobs",), shop.registry.state("shop").versions[1].digest, last.at)]
    assert shop.run(CycleOptions(when="drift"), config, drifted_jobs=lambda *of: ["a"]).status is CycleStatus.PROMOTED


def test_drift_counts_from_when_a_version_became_champion_however_that_was(shop: PaperShop) -> None:
    config = shop.config.model_copy(update={"drift": DriftSettings(jobs=("jobs",))})
    bundle = write_paper_bundle(shop.config.folder / "by-hand", 77)
    shop.registry.publish("shop", bundle, "by hand", alias=CHAMPION)
    came = shop.registry.history("shop").last()
    shop.registry.alias("shop", 2, "staging", "later")
    asked = []
    shop.run(CycleOptions(when="drift"), config, drifted_jobs=lambda *of: asked.append(of[2]) or [])
    assert asked == [came.at]


def test_drift_needs_to_know_where_jobs_are(shop: PaperShop) -> None:
    with pytest.raises(InputError, match=r"under \[drift\]"):
        shop.run(CycleOptions(when="drift"))
