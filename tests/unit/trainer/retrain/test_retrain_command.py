import io

from rich.console import Console

from tests.paper_cycle import PaperShop
from trainer.retrain.cycle_folder import CycleStatus
from trainer.retrain.screen import show_outcome


def test_every_ending_has_its_status() -> None:
    assert [int(status.exit_code) for status in CycleStatus] == [0, 3, 4, 1]


def shown(shop: PaperShop) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    show_outcome(shop.run(), shop.config, console)
    return console.export_text()


def test_a_promotion_shows_checks_and_the_way_back(shop: PaperShop) -> None:
    text = shown(shop)
    assert "✓  accuracy  10 points better" in text
    assert "shop@2 is the champion." in text
    assert "hangtag models rollback shop " in text


def test_a_refusal_shows_what_failed_and_how_to_overrule_it(shop: PaperShop) -> None:
    shop.passes = False
    text = shown(shop)
    assert "✗  accuracy" in text
    assert "shop@2 was refused; shop@1 stays the champion." in text
    assert "hangtag models promote shop@2 --force --why REASON" in text
