"""Which photos belong together: they show the same picture, or one product."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import DisjointSet

from trainer.check.near import joined, links_of
from trainer.data.dataset import Split
from trainer.splits.assigned import Candidate

_NAME_DIGITS: Final = 16

Bridges = dict[int, tuple[int, int]]


def group_name(sha256: str) -> str:
    """The name of a new group, from its smallest SHA-256."""
    return sha256[:_NAME_DIGITS]


def group_photos(candidates: Sequence[Candidate], links: Sequence[tuple[int, int]]) -> tuple[dict[int, int], Bridges]:
    """Put together what shows the same picture, or belongs to one product.

    Photos whose splits are decided are joined as they are, even across splits. Undecided photos that show the same
    picture share a fate: one after the other, in the order of their smallest SHA-256, such a set of photos joins all
    photos that it is linked to, or is set aside if these lie in more than one split.

    Returns:
        Place → number of its group; and, for each place that bridges splits and so has no group, the places of photos
        in two of them.
    """
    count, edges = _edges(candidates, links)
    asks = np.zeros(count, bool)
    asks[: len(candidates)] = [candidate.split is None for candidate in candidates]
    first, second = edges[:, 0], edges[:, 1]
    alike = asks[first] == asks[second]
    parts = joined(count, edges[alike])
    askers = np.where(asks[first], first, second)[~alike]
    hosts = np.where(asks[first], second, first)[~alike]
    own = parts[: len(candidates)].tolist()
    met: defaultdict[int, dict[Split, int]] = defaultdict(dict)
    for place, (candidate, part) in enumerate(zip(candidates, own, strict=True)):
        if candidate.split is not None:
            met[part].setdefault(candidate.split, place)
    bound: defaultdict[int, set[int]] = defaultdict(set)
    for asker, host in zip(parts[askers].tolist(), parts[hosts].tolist(), strict=True):
        bound[asker].add(host)
    smallest: dict[int, str] = {}
    for candidate, part in zip(candidates, own, strict=True):
        if part in bound:
            smallest[part] = min(candidate.sha256, smallest.get(part, candidate.sha256))
    union = DisjointSet(range(int(parts.max(initial=-1)) + 1))
    bridges = _join_hosts(union, [(part, bound[part]) for part in sorted(smallest, key=smallest.__getitem__)], met)
    groups = {place: union[part] for place, part in enumerate(own) if part not in bridges}
    return groups, {place: bridges[part] for place, part in enumerate(own) if part in bridges}


def _join_hosts(
    union: DisjointSet, asking: Iterable[tuple[int, set[int]]], met: dict[int, dict[Split, int]]
) -> Bridges:
    """Let each undecided part join all its hosts, in order; ``met``: root of the union → split → place of a photo."""
    bridges = {}
    for part, hosts in asking:
        roots = sorted({union[host] for host in hosts})
        reached = {split: place for root in roots for split, place in met.get(root, {}).items()}
        if len(reached) > 1:
            one, other, *_ = (reached[split] for split in Split if split in reached)
            bridges[part] = (one, other)
        else:
            for root in roots:
                union.merge(root, part)
            met[union[part]] = reached
    return bridges


def _edges(candidates: Sequence[Candidate], links: Sequence[tuple[int, int]]) -> tuple[int, npt.NDArray[np.intp]]:
    """Everything that joins: pictures directly, products and earlier groups through a node of their own."""
    edges = [
        *links,
        *links_of((a.sha256, a.split is None) for a in candidates),
        *links_of(a.sha256 for a in candidates),
    ]
    earlier = {candidate.group for candidate in candidates}
    nodes: dict[tuple[str, str], int] = {}
    for place, candidate in enumerate(candidates):
        name = candidate.group or group_name(candidate.sha256)
        if name in earlier:
            edges.append((place, nodes.setdefault(("group", name), len(candidates) + len(nodes))))
        if candidate.product is not None:
            edges.append((place, nodes.setdefault(("product", candidate.product), len(candidates) + len(nodes))))
    return len(candidates) + len(nodes), np.array(edges, np.intp).reshape(-1, 2)
