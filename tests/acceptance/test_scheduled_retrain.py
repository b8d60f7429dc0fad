"""Somebody puts photos there and does nothing else: a beat and a train worker make a better champion of them."""

from pathlib import Path

import pytest

from models.registry.registry import open_registry
from models.registry.state import CHAMPION
from tests.command import HANGTAG
from tests.integration.scheduled_model import ScheduledModel
from tests.until import until
from worker.queue.private_redis import PrivateRedis

SETTINGS = """
[train]
warm_start = false
image_size = 32
batch = 16
folds = 0
epochs = {epochs}
[export]
int8 = false
[gate]
min_speed_ratio = 0.0
"""
FEW = 6


@pytest.mark.proof
def test_new_photos_become_a_better_champion_by_themselves(tmp_path: Path, server: PrivateRedis) -> None:
    from trainer.sample.catalogue import draw_catalogue

    model = ScheduledModel(tmp_path, server)
    model.write_config("10s", SETTINGS.format(epochs=4))
    draw_catalogue(tmp_path / "drawn", 480, seed=3)
    drawn = sorted(path.relative_to(tmp_path / "drawn") for path in (tmp_path / "drawn").glob("*/*"))
    first = {name: [path for path in drawn if path.parent == name][:FEW] for name in {path.parent for path in drawn}}
    bring(tmp_path, [path for few in first.values() for path in few])
    try:
        model.beat()
        worker = model.start((*HANGTAG, "worker", "--queue", "train", str(model.config)))
        worker.wait_until_ready()
        registry = open_registry(str(tmp_path / "registry"))
        until(lambda: "shop" in registry.names() and registry.state("shop").champions == (1,), "a first model", 300)
        model.write_config("10s", SETTINGS.format(epochs=30))
        bring(tmp_path, drawn)
        until(lambda: registry.state("shop").aliases[CHAMPION] == 2, "a better one", 600)
        until(lambda: worker.events("cycle_ends")[-1]["status"] == 4, "nothing is new any more", 300)
    finally:
        model.close()
    assert sorted(registry.state("shop").versions) == [1, 2]
    assert (tmp_path / "retraining" / "shop" / "000002" / "report.html").is_file()


def bring(folder: Path, photos: list[Path]) -> None:
    for photo in photos:
        place = folder / "photos" / photo
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.hardlink_to(folder / "drawn" / photo)
