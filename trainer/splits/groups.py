"""Which photos belong together: they show the same picture, or one product."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer.check.near import joined
from trainer.data.dataset import Split
from trainer.splits.assigned import Applicant

__all__ = ["SET_ASIDE", "group_name", "group_photos"]

SET_ASIDE: Final = -1
_NAME_DIGITS: Final = 16


@dataclass(frozen=True)
class Grouping:
    """Which photos belong together; places are those of the applicants.

    Attributes:
        groups: for each applicant the number of its group, -1 where it bridges splits. A group in which splits are
            decided has undecided photos only if it lies in one split.
        bridges: for each applicant that bridges splits, the places of photos in two of them.
    """

    groups: npt.NDArray[np.intp]
    bridges: dict[int, tuple[int, int]]


def group_name(sha256: str) -> str:
    """What a new group is called whose smallest SHA-256 is this."""
    return sha256[:_NAME_DIGITS]


def group_photos(applicants: Sequence[Applicant], links: Sequence[tuple[int, int]]) -> Grouping:
    """Put together what shows the same picture, or belongs to one product.

    Photos whose splits are decided are joined as they are, even across splits. Undecided photos that show the same
    picture share a fate: one after the other, in the order of their smallest SHA-256, such a set of photos joins all
    that it is bound to, or is set aside where that lies in more than one split.

    Args:
        applicants: of which those with a split are decided.
        links: places of two applicants that show the same picture.
    """
    count, edges = _edges(applicants, links)
    asks = np.zeros(count, bool)
    asks[: len(applicants)] = [applicant.split is None for applicant in applicants]
    first, second = edges[:, 0], edges[:, 1]
    alike = asks[first] == asks[second]
    parts = joined(count, edges[alike])
    askers = np.where(asks[first], first, second)[~alike]
    hosts = np.where(asks[first], second, first)[~alike]
    met: defaultdict[int, dict[Split, int]] = defaultdict(dict)
    for place, (applicant, part) in enumerate(zip(applicants, parts[: len(applicants)].tolist(), strict=True)):
        if applicant.split is not None:
            met[part].setdefault(applicant.split, place)
    union = _Union(int(parts.max(initial=-1)) + 1, dict(met))
    bridges = _join_hosts(applicants, parts, parts[askers], parts[hosts], union)
    roots = np.array([union.root(part) for part in range(len(union.parents))], np.intp)
    groups = roots[parts[: len(applicants)]]
    found = {place: bridges[part] for place, part in enumerate(parts[: len(applicants)].tolist()) if part in bridges}
    groups[list(found)] = SET_ASIDE
    return Grouping(groups, found)


def _edges(applicants: Sequence[Applicant], links: Sequence[tuple[int, int]]) -> tuple[int, npt.NDArray[np.intp]]:
    """Everything that joins: pictures directly, products and earlier groups through a node of their own."""
    edges = [
        *links,
        *_stars((a.sha256, a.split is None) for a in applicants),
        *_stars(a.sha256 for a in applicants),
    ]
    earlier = {applicant.group for applicant in applicants}
    nodes: dict[tuple[str, str], int] = {}
    for place, applicant in enumerate(applicants):
        name = applicant.group or group_name(applicant.sha256)
        if name in earlier:
            edges.append((place, nodes.setdefault(("group", name), len(applicants) + len(nodes))))
        if applicant.product is not None:
            edges.append((place, nodes.setdefault(("product", applicant.product), len(applicants) + len(nodes))))
    return len(applicants) + len(nodes), np.array(edges, np.intp).reshape(-1, 2)


def _stars(keys: Iterable[Hashable]) -> list[tuple[int, int]]:
    firsts: dict[Hashable, int] = {}
    places = ((firsts.setdefault(key, place), place) for place, key in enumerate(keys))
    return [(first, place) for first, place in places if first != place]


class _Union:
    """Parts that grow together; ``met`` has, for a root, the place of one photo in each split that it reaches."""

    def __init__(self, count: int, met: dict[int, dict[Split, int]]) -> None:
        self.parents = list(range(count))
        self.met = met

    def root(self, part: int) -> int:
        parents = self.parents
        while parents[part] != part:
            parents[part] = parents[parents[part]]
            part = parents[part]
        return part

    def join(self, parts: Sequence[int]) -> None:
        for part in parts[1:]:
            self.parents[part] = parts[0]
            for split, place in self.met.pop(part, {}).items():
                self.met.setdefault(parts[0], {})[split] = place


def _join_hosts(
    applicants: Sequence[Applicant],
    parts: npt.NDArray[np.intp],
    askers: npt.NDArray[np.intp],
    hosts: npt.NDArray[np.intp],
    union: _Union,
) -> dict[int, tuple[int, int]]:
    """Let each undecided part join all its hosts, or name photos of two splits that it would bridge."""
    bound: defaultdict[int, set[int]] = defaultdict(set)
    for asker, host in zip(askers.tolist(), hosts.tolist(), strict=True):
        bound[asker].add(host)
    smallest: dict[int, str] = {}
    for applicant, part in zip(applicants, parts[: len(applicants)].tolist(), strict=True):
        if part in bound:
            smallest[part] = min(applicant.sha256, smallest.get(part, applicant.sha256))
    bridges = {}
    for part in sorted(smallest, key=smallest.__getitem__):
        roots = sorted({union.root(host) for host in bound[part]})
        met = {split: place for root in roots for split, place in union.met.get(root, {}).items()}
        if len(met) > 1:
            one, other, *_ = (met[split] for split in Split if split in met)
            bridges[part] = (one, other)
        else:
            union.join([*roots, part])
    return bridges
