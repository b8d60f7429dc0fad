"""Made-up comparisons, and the gate's decisions on them."""

from trainer.retrain.config import GateSettings
from trainer.retrain.cycle_folder import (
    AutomaticLabels,
    Automation,
    Brier,
    Calibration,
    CatalogueDiff,
    Check,
    Comparison,
    Footprint,
    GateVerdict,
    PairedAccuracy,
)
from trainer.retrain.gate import judge


def a_class(points=0.0, spread=6.0, photos=37, before=0.9):
    interval = (points - spread, points + spread)
    after = before + points / 100
    return PairedAccuracy(photos=photos, champion=before, challenger=after, points=points, points_95=interval)


def new_class(recall, photos=10):
    return PairedAccuracy(photos=photos, challenger=recall)


def brier(z):
    return Brier(champion=0.3, challenger=0.3 - z / 100, z=z)


def automatic(photos, wrong, high=1.0):
    """Labels without a person; ``high`` is the upper end of the interval of the share of right labels."""
    return AutomaticLabels(photos=photos, wrong=wrong, right_95=(0.0, high))


def automation(points=-1.6, spread=3.0, **changes):
    """Of 372 photos; both promise 0.98."""
    own = automatic(280 + round(3.72 * points), 4)
    found = Automation(
        champion_precision=0.98, challenger_precision=0.98, own_precision=0.98, champion=automatic(280, 5),
        challenger=own, own=own, everywhere=own, points=points, points_95=(points - spread, points + spread),
        surest=automatic(280, 6),
    )  # fmt: skip
    return found.model_copy(update=changes)


def comparison(**changes):
    """A challenger that passes: 2.1 points better, other figures about equal."""
    found = Comparison(
        champion="shop@3", challenger="shop@4", photos=372, champion_accuracy=0.871, challenger_accuracy=0.892,
        won=14, lost=6, points=2.15, points_95=(-0.2, 4.5), smallest_points=3.4, challenger_all=0.892, all_photos=372,
        brier=Brier(champion=0.191, challenger=0.172, z=2.1),
        classes={"hat": a_class(2.0), "dress": a_class(-3.0)},
        calibration=Calibration(champion=0.03, challenger=0.04, difference_95=(-0.01, 0.03)),
        automation=automation(),
        champion_footprint=Footprint(compared_bytes=2_000_000, default_bytes=2_000_000, images_per_s=400.0),
        challenger_footprint=Footprint(compared_bytes=2_200_000, default_bytes=2_200_000, images_per_s=380.0),
    )  # fmt: skip
    return found.model_copy(update=changes)


ALONE = dict.fromkeys(["points", "points_95", "brier", "calibration", "automation"])
FIRST = {
    **ALONE, **dict.fromkeys(["champion", "champion_accuracy", "smallest_points", "champion_footprint"]),
    "classes": {"hat": new_class(0.9)},
}  # fmt: skip
NO_TEST = {**ALONE, "photos": 0, "all_photos": 0, "classes": {}}
FIRST_AUTOMATION = dict.fromkeys(["champion", "champion_precision", "points", "points_95"])


def catalogue(changed=31, rows=1000, failed=0):
    return CatalogueDiff(
        source="products.csv", rows_in_source=50_000, rows=rows, failed=failed, changed=changed,
        changed_share_95=(0.02, 0.05), to_review=0, from_review=0,
    )  # fmt: skip


def judged(found, changed=None, **limits) -> GateVerdict:
    return judge(GateSettings(**limits), found, changed)


def failing(verdict: GateVerdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.passed]


def named(verdict: GateVerdict, name: str) -> Check:
    [found] = [check for check in verdict.checks if check.name == name]
    return found
