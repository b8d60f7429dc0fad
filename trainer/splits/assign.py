"""Groups photos of one picture or product, and gives each group a permanent split."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import DisjointSet

from models.errors import DataError
from trainer.check.near import joined, links_of
from trainer.data.dataset import Exclusion, Split
from trainer.splits.assigned import AssignedPhoto, Assignment, Candidate
from trainer.splits.set_aside import drop_training_twins, keep_trained

_NAME_DIGITS: Final = 16

Bridges = dict[int, tuple[int, int]]


def group_name(sha256: str) -> str:
    """The name of a new group, from the smallest SHA-256 of its photos."""
    return sha256[:_NAME_DIGITS]


def group_photos(candidates: Sequence[Candidate], links: Sequence[tuple[int, int]]) -> tuple[dict[int, int], Bridges]:
    """Group photos of one picture or product.

    Linked photos that have a split are always in one group, even if their splits differ. Photos of one
    picture without a split then merge the groups linked to them, in the order of SHA-256. If the splits of these groups
    differ, the photos are excluded.

    Returns:
        Two dictionaries by position: the group of each remaining candidate, and for each excluded candidate the
        positions of two linked photos in different splits.
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
    """Link photos. Each product and each earlier group becomes an extra node, linked to its photos."""
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


HELD_OUT: Final = 10
"""One of this many photos of a class goes to validation, and one to test."""


def assign_splits(
    candidates: Sequence[Candidate], links: Sequence[tuple[int, int]], seed: int, *, fix_leaks: bool = False
) -> Assignment:
    """Give every photo a split.

    Splits of the user or an earlier training do not change. A new photo goes into the split of its group, and is
    excluded if its group is in two splits. All other groups are divided 80/10/10, stratified by class. If the
    user's splits have no validation or no test photos, a first training moves training photos there, and
    photos marked as open go to training or to an empty split. Photos that a model chose for review go to training
    with their whole group, or are excluded if the group is in validation or test.

    ``links``: pairs of photos of the same picture, as positions in ``candidates``. Photos with the same product,
    content or earlier group always belong together. ``fix_leaks`` drops training photos whose group is also in
    validation or test.
    """
    without = [one.path for one in candidates if one.split is None and not one.open and not one.chosen]
    is_extended = any(candidate.fixed for candidate in candidates)
    if without and not is_extended and any(candidate.split for candidate in candidates):
        msg = (
            f"Expected a split for every photo or for none, got none for {without[0]}; to let Hangtag "
            "choose, write 'open' as the split."
        )
        raise DataError(msg)
    groups, bridges = group_photos(candidates, links)
    photos = _assigned(candidates, groups, seed)
    bridging = []
    for place, bridged in bridges.items():
        ends = " and with ".join(f"{candidates[end].path} in {candidates[end].split}" for end in bridged)
        bridging.append(Exclusion(candidates[place].path, "bridges_splits", f"This photo is linked with {ends}"))
    measured = [place for place, photo in photos.items() if photo.chosen and photo.split is not Split.TRAIN]
    chosen = [_not_measured(photos.pop(place)) for place in measured]
    earlier_groups = {photos[place].group for place in photos if candidates[place].fixed}
    kept, dropped = list(photos.values()), list[Exclusion]()
    if fix_leaks:
        kept, dropped = drop_training_twins(kept, earlier_groups)
    covered = keep_trained(kept, earlier_groups)
    return replace(covered, set_aside=[*bridging, *chosen, *dropped, *covered.set_aside])


def _not_measured(photo: AssignedPhoto) -> Exclusion:
    return Exclusion(
        photo.path, "chosen", f"A model chose this photo for review, but photos of its group are in {photo.split}"
    )


def _assigned(candidates: Sequence[Candidate], groups: Mapping[int, int], seed: int) -> dict[int, AssignedPhoto]:
    members: defaultdict[int, list[int]] = defaultdict(list)
    for place, group in groups.items():
        members[group].append(place)
    names = {group: _name([candidates[place] for place in places]) for group, places in members.items()}
    splits = _splits(candidates, members, names, seed)
    assigned = {}
    for place, group in groups.items():
        a = candidates[place]
        facts = (a.path, a.label, splits[place], a.sha256, names[group], a.product, a.present, a.chosen)
        assigned[place] = AssignedPhoto(*facts)
    return assigned


def _name(members: Sequence[Candidate]) -> str:
    earlier = [candidate.group for candidate in members if candidate.group is not None]
    return min(earlier) if earlier else group_name(min(candidate.sha256 for candidate in members))


def _splits(
    candidates: Sequence[Candidate], members: Mapping[int, Sequence[int]], names: Mapping[int, str], seed: int
) -> dict[int, Split]:
    known_splits = {candidate.split for candidate in candidates} - {None}
    cuts = bool(known_splits) and not any(candidate.fixed for candidate in candidates)
    open_splits = [split for split in Split if split is Split.TRAIN or not (cuts and split in known_splits)]
    splits: dict[int, Split] = {}
    placed: defaultdict[str, Counter[Split]] = defaultdict(Counter)
    placed_groups: Counter[str] = Counter()
    free = []
    for group, places in members.items():
        decided = {candidates[place].split for place in places}
        is_chosen = any(candidates[place].chosen for place in places)
        if decided <= ({Split.TRAIN, None} if cuts else {None}) and not is_chosen:
            free.append(group)
            continue
        joins = next((split for split in decided if split is not None), Split.TRAIN)
        splits.update((place, candidates[place].split or joins) for place in places)
        present = [place for place in places if candidates[place].present]
        for place in present:
            placed[candidates[place].label][splits[place]] += 1
        placed_groups.update({candidates[place].label for place in present})
    free.sort(key=names.__getitem__)
    by_class: defaultdict[str, list[int]] = defaultdict(list)
    for number in np.random.default_rng(seed).permutation(len(free)):
        counts = Counter(candidates[place].label for place in members[free[number]])
        by_class[min(counts, key=lambda label: (-counts[label], label))].append(free[number])
    for label, groups in by_class.items():
        sizes = [len(members[group]) for group in groups]
        for group, split in zip(
            groups, share_out(sizes, placed[label], placed_groups[label], open_splits), strict=True
        ):
            splits.update(dict.fromkeys(members[group], split))
    return splits


def share_out(
    sizes: Sequence[int], placed: Mapping[Split, int], placed_groups: int, open_splits: Sequence[Split]
) -> list[Split]:
    """Assign each group of a class, in the order of ``sizes``, to the split furthest below its share.

    About a tenth of the class goes to validation, and a tenth to test. A group too large for both goes to training.
    If a class has two groups, one goes to validation or test. If a class has three groups, each split gets one.
    ``placed``: the number of photos of the class that each split already has.
    """
    photos = Counter({split: placed.get(split, 0) for split in open_splits})
    total = sum(sizes) + photos.total()
    chosen = _first_ones(sizes, photos, placed_groups + len(sizes), total)
    for number, split in chosen.items():
        photos[split] += sizes[number]
    for number, size in enumerate(sizes):
        if number not in chosen:
            chosen[number] = _neediest(size, photos, total)
            photos[chosen[number]] += size
    return [chosen[number] for number in range(len(sizes))]


def _first_ones(sizes: Sequence[int], photos: Counter[Split], groups: int, total: int) -> dict[int, Split]:
    chosen: dict[int, Split] = {}
    spare = len(sizes) - (not photos[Split.TRAIN])
    for fewer, split in enumerate(_held_out(photos), start=1):
        if not photos[split] and groups > fewer and len(chosen) < spare:
            left = [number for number in range(len(sizes)) if number not in chosen]
            fitting = (number for number in left if HELD_OUT * sizes[number] <= total)
            chosen[next(fitting, min(left, key=sizes.__getitem__))] = split
    return chosen


def _neediest(size: int, photos: Counter[Split], total: int) -> Split:
    held_out = _held_out(photos)
    if not held_out:
        return Split.TRAIN
    split = min(held_out, key=photos.__getitem__)
    lack = total - HELD_OUT * photos[split]
    lack_of_training = total * (HELD_OUT - len(held_out)) - HELD_OUT * photos[Split.TRAIN]
    fits = HELD_OUT * size <= min(total, 2 * lack)
    return split if fits and lack > lack_of_training else Split.TRAIN


def _held_out(photos: Counter[Split]) -> list[Split]:
    return [split for split in photos if split is not Split.TRAIN]
