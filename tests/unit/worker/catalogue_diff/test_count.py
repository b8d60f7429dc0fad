from pathlib import Path

from worker.catalogue_diff import CatalogueFigures, Pair, RowLabel, count_changes


def counted(pairs: list[Pair], renamed: dict[str, str], root: Path) -> CatalogueFigures:
    return count_changes(pairs, renamed, root, "shop.csv", len(pairs), 0)


def pair(row: int, before: str, after: str, *, reviews: str = "no no", sure: float = 0.5, sha256: str = "") -> Pair:
    """``reviews``: whether a person should look, before and after."""
    old, new = (word == "yes" for word in reviews.split())
    photo = f"{row}.png"
    return Pair(row, photo, photo, sha256 or str(row), RowLabel(before, 0.5, old), RowLabel(after, sure, new))


def test_rows_are_counted_where_they_go_the_largest_flow_first(tmp_path: Path) -> None:
    pairs = [pair(1, "hat", "hat"), pair(2, "boots", "shoes"), pair(3, "hat", "boots"), pair(4, "boots", "shoes")]
    figures = counted(pairs, {}, tmp_path)
    assert [(flow.before, flow.after, flow.rows) for flow in figures.flows] == [
        ("boots", "shoes", 2),
        ("hat", "boots", 1),
    ]
    assert (figures.rows, figures.changed, figures.changed_share) == (4, 3, 0.75)


def test_a_new_name_is_no_change_and_neither_is_a_merge(tmp_path: Path) -> None:
    pairs = [pair(1, "hat", "cap"), pair(2, "beanie", "cap"), pair(3, "hat", "hat"), pair(4, "sock", "cap")]
    figures = counted(pairs, {"hat": "cap", "beanie": "cap"}, tmp_path)
    assert [(flow.before, flow.after) for flow in figures.flows] == [("hat", "hat"), ("sock", "cap")]


def test_reviews_are_counted_whatever_the_label(tmp_path: Path) -> None:
    pairs = [
        pair(1, "a", "a", reviews="no yes"),
        pair(2, "a", "b", reviews="no yes"),
        pair(3, "a", "a", reviews="yes no"),
        pair(4, "a", "b", reviews="yes yes"),
    ]
    figures = counted(pairs, {}, tmp_path)
    assert (figures.to_review, figures.from_review, figures.changed) == (2, 1, 2)


def test_the_surest_rows_are_shown_and_those_without_photo_too(tmp_path: Path) -> None:
    pairs = [pair(row, "a", "b", sure=row / 100) for row in range(1, 40)]
    figures = counted(pairs, {}, tmp_path)
    assert [example.row for example in figures.examples] == [39, 38, 37, 36, 35, 34]
    assert {example.thumbnail for example in figures.examples} == {None}
