"""What became of the champion's classes in the photos that the challenger learned from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.errors import InputError
from trainer.retrain.config import ClassMap

__all__ = ["ClassChange", "change_classes", "check_class_map"]


@dataclass(frozen=True)
class ClassChange:
    """The champion's classes against the challenger's.

    Attributes:
        today: the champion's name of each class → today's; several with one name of today are merged.
        new: names that only the challenger knows.
        vanished: names of the champion that the challenger does not know, and whose end nobody has asked for.
    """

    today: Mapping[str, str]
    new: tuple[str, ...]
    vanished: tuple[str, ...]

    @property
    def known(self) -> frozenset[str]:
        """Names of today that the champion knows."""
        return frozenset(self.today.values())


def change_classes(champion: Sequence[str], challenger: Sequence[str], classes: ClassMap) -> ClassChange:
    """Find the classes that both know, under the names of today.

    Args:
        champion: its labels.
        challenger: its labels.
        classes: what a person says became of the champion's.

    Raises:
        InputError: the map contradicts itself, or names what nobody knows.
    """
    check_class_map(classes, champion)
    today = {label: classes.rename.get(label, label) for label in champion}
    known = set(today.values())
    return ClassChange(
        today=today,
        new=tuple(label for label in challenger if label not in known),
        vanished=tuple(old for old, new in today.items() if new not in challenger and old not in classes.drop),
    )


def check_class_map(classes: ClassMap, champion: Sequence[str]) -> None:
    """Check a map against the champion's labels; cheap, so that nobody trains for hours before they hear of a typo.

    A map stays in its file when the renamed model is the champion, since photos may still lie in folders of the old
    name. So a rename whose new name the champion knows is taken for done, and so is a drop of what it does not know: a
    class that such a typo leaves behind is refused as vanished.

    Raises:
        InputError: a name is renamed twice over, or both renamed and dropped; or the champion knows neither the old
            name of a class nor its new one.
    """
    renamed = {old: new for old, new in classes.rename.items() if old != new}
    for old, new in renamed.items():
        if new in renamed:
            msg = f"Expected today's name for {old} in [classes], got {new}, which becomes {renamed[new]}; name that."
            raise InputError(msg)
        dropped = [name for name in (old, new) if name in classes.drop]
        if dropped:
            msg = f"Expected {dropped[0]} renamed or dropped in [classes], got both ({old} → {new}); do without one."
            raise InputError(msg)
    known = {renamed.get(label, label) for label in champion} | set(champion)
    for old, new in classes.rename.items():
        if old not in known and new not in known:
            names = ", ".join(sorted(champion))
            msg = f"Expected a class of the champion in [classes], got {old} → {new}; it knows {names}."
            raise InputError(msg)
