"""A tree of labels, with the classes as leaves. Higher nodes are less specific, and more often right.

The level of a node is the length of the longest path down to a leaf: 0 for a class, 1 for a node whose children are all
classes, and so on. So a parent's level is above its children's levels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from models.errors import DataError

PATH_MARK: Final = " > "
"""Separates the nodes of a path: ``clothing > shoes > boots``."""
REVIEW: Final = -1
"""The level of rows that go to review."""
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_SHOWN: Final = 10

Levels = npt.NDArray[np.intp]


def level_name(level: int) -> str:
    """The name of a level: ``leaf``, ``level 1``."""
    return f"level {level}" if level else "leaf"


def ancestors(parents: Mapping[str, str], label: str) -> tuple[str, ...]:
    """The nodes above a label, the nearest first. ``parents``: the parent of each label."""
    nodes: list[str] = []
    while (parent := parents.get(nodes[-1] if nodes else label)) is not None:
        nodes.append(parent)
    return tuple(nodes)


@dataclass(frozen=True)
class Taxonomy:
    """A tree, or several trees.

    ``classes`` are the leaves, in the order of the probabilities. ``parents``: each node's parent. Raises DataError.
    """

    classes: tuple[str, ...]
    parents: Mapping[str, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parents", MappingProxyType(dict(self.parents)))
        self._check()

    def _check(self) -> None:
        for label in self.parents:
            self._check_way_up(label)
        inner, known = set(self.parents.values()), set(self.classes)
        for label in self.classes:
            if label in inner:
                child = next(child for child, parent in self.parents.items() if parent == label)
                msg = (
                    f"Expected photos of the tree's leaves only, but photos are labelled {label!r}, which is "
                    f"the parent of {child!r}; give each of these photos a leaf's label, or rename the parent."
                )
                raise DataError(msg)
        strangers = [label for label in self.parents if label not in inner | known]
        if strangers:
            msg = (
                f"Expected each leaf of the tree to be a class of the photos ({_listed(self.classes)}), but no photo "
                f"has {_listed(strangers)}. Rename or remove these leaves."
            )
            raise DataError(msg)
        for node in sorted(set.intersection(*(set(self.ancestors(label)) for label in self.classes))):
            msg = (
                f"Expected classes without a common ancestor, but all classes are under {node!r}; "
                "remove the rows with this parent."
            )
            raise DataError(msg)

    def _check_way_up(self, label: str) -> None:
        way = [label]
        while (parent := self.parents.get(way[-1])) is not None:
            way.append(parent)
            if parent in way[:-1]:
                circle = " → ".join(way[way.index(parent) :])
                msg = f"Expected a tree, found a cycle of parents: {circle}; correct one of these rows."
                raise DataError(msg)

    def ancestors(self, label: str) -> tuple[str, ...]:
        """The nodes above a label, the nearest first."""
        return ancestors(self.parents, label)

    def path(self, label: str) -> str:
        """The path from the top down to a label: ``clothing > shoes > boots``."""
        return PATH_MARK.join((*reversed(self.ancestors(label)), label))

    @property
    def paths(self) -> str:
        """The path from the top down to each class."""
        return "; ".join(map(self.path, self.classes))

    @cached_property
    def level(self) -> Mapping[str, int]:
        """The level of each node, classes included."""
        levels = dict.fromkeys(self.classes, 0)
        for label in self.classes:
            for height, node in enumerate(self.ancestors(label), start=1):
                levels[node] = max(levels.get(node, 0), height)
        return MappingProxyType(levels)

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """All nodes above the classes, sorted by level and name."""
        return tuple(sorted(set(self.parents.values()), key=lambda node: (self.level[node], node)))

    @property
    def top(self) -> int:
        """The highest level; 0 if no class has a parent."""
        return max(self.level.values())

    @cached_property
    def above(self) -> Levels:
        """Index of each class's ancestor at levels 1 (lowest) to ``top``, ``(classes, top)``; -1 without one."""
        nodes_above = np.full((len(self.classes), self.top), -1, np.intp)
        for place, label in enumerate(self.classes):
            for node in self.ancestors(label):
                nodes_above[place, self.level[node] - 1] = self.nodes.index(node)
        return nodes_above

    @cached_property
    def _spans(self) -> tuple[Levels, Levels, Levels]:
        ways = [self.ancestors(label) for label in self.classes]
        order = sorted(range(len(ways)), key=lambda place: (*reversed(ways[place]), ""))
        inside = [[node in ways[place] for place in order] for node in self.nodes]
        starts = [row.index(True) for row in inside]
        ends = [start + sum(row) for start, row in zip(starts, inside, strict=True)]
        return np.array(order, np.intp), np.array(starts, np.intp), np.array(ends, np.intp)

    def probabilities(self, of_classes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """For each node the sum of its classes' probabilities, ``(n, nodes)``. Each row is computed separately."""
        order, starts, ends = self._spans
        sums = np.zeros((len(of_classes), len(order) + 1))
        np.cumsum(of_classes[:, order], axis=1, dtype=np.float64, out=sums[:, 1:])
        return (sums[:, ends] - sums[:, starts]).clip(0.0, 1.0).astype(np.float32)

    def is_right(
        self, guesses: npt.NDArray[np.integer], truths: npt.NDArray[np.integer], level: int
    ) -> npt.NDArray[np.bool_]:
        """Whether two classes are under the same node at a level, ``bool (n,)``.

        ``False`` if a class has no node at that level.
        """
        if not level:
            return np.asarray(guesses == truths)
        node = self.above[guesses, level - 1]
        return np.asarray((node >= 0) & (node == self.above[truths, level - 1]))

    def distances(self, guesses: npt.NDArray[np.integer], truths: npt.NDArray[np.integer]) -> Levels:
        """Number of edges from each true class up to its lowest common ancestor with the guess; 0 for a correct guess.

        An extra root connects all trees.
        """
        known: dict[tuple[int, int], int] = {}
        for guess, truth in {*zip(guesses.tolist(), truths.tolist(), strict=True)}:
            theirs = {self.classes[guess], *self.ancestors(self.classes[guess])}
            way = (self.classes[truth], *self.ancestors(self.classes[truth]))
            known[guess, truth] = next((edges for edges, node in enumerate(way) if node in theirs), len(way))
        pairs = zip(guesses.tolist(), truths.tolist(), strict=True)
        return np.array([known[pair] for pair in pairs], np.intp)

    def limited_to(self, classes: Sequence[str], renamed: Mapping[str, str] = NOTHING) -> "Taxonomy | None":
        """The part of the tree above ``classes``. ``renamed``: new names by old name. None if no class has a parent.

        Classes outside the tree get no parent. Branches without classes, and nodes above all classes, are removed.
        """
        if renamed:
            before = tuple(dict.fromkeys(renamed.get(label, label) for label in self.classes))
            edges = {renamed.get(label, label): renamed.get(up, up) for label, up in self.parents.items()}
            return Taxonomy(before, edges).limited_to(classes)
        shared = set.intersection(*(set(self.ancestors(label)) for label in classes))
        edges = {child: parent for label in classes for child, parent in self._edges(label)}
        parents = {child: parent for child, parent in edges.items() if parent not in shared}
        return Taxonomy(tuple(classes), parents) if parents else None

    def _edges(self, label: str) -> list[tuple[str, str]]:
        return list(pairwise((label, *self.ancestors(label))))


def _listed(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return ", ".join(map(repr, labels[:_SHOWN])) + more
