import csv
import hashlib
from pathlib import Path

import pytest

from models.errors import DataError
from tests.unit.catalogue.scripted_server import Answer, open_scripted_server
from trainer.data.dataset import read_dataset
from trainer.retrain.collect import collect, collected_notes
from trainer.retrain.config import ClassMap, GateSettings, RetrainConfig, TrainSettings
from trainer.retrain.cycle_folder import Collected

HEAD = "image,sha256,label,was,reviewer,model,at,remark\n"


class Shop:
    """A data set of files that are not photos (collecting does not decode them), its corrections, and its cycles."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        for name in ("boots/1.jpg", "boots/2.jpg", "hats/3.jpg"):
            self.put(f"photos/{name}")

    def put(self, name: str, data: bytes | None = None) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() if data is None else data)
        return path

    def correct(self, *rows: str) -> None:
        with (self.folder / "corrections.csv").open("a") as file:
            file.write(
                "".join([HEAD if file.tell() == 0 else "", *(f"{row}{',' * (7 - row.count(','))}\n" for row in rows)])
            )

    def collect(self, classes: ClassMap | None = None, known=(), data: str = "photos") -> Collected:
        """Collect in a new folder, compared with the last collection."""
        config = RetrainConfig(
            name="shop",
            data=self.folder / data,
            folder=self.folder / "cycles",
            corrections=self.folder / "corrections.csv",
            classes=classes or ClassMap(),
        )
        earlier = self.last if self.number else None
        self.number += 1
        collected = collect(config, self.last, earlier, known, self.folder / "cache", lambda *_: None)
        assert Collected.model_validate_json((self.last / "collected.json").read_text()) == collected
        return collected

    @property
    def last(self) -> Path:
        return self.folder / "cycles" / f"{self.number:06}"

    @property
    def labels(self) -> dict[str, str]:
        return {str(p.path.relative_to(self.folder)): p.label for p in read_dataset(self.last / "dataset.csv").photos}


def digests(file: Path) -> dict[str, str]:
    with file.open(newline="") as rows:
        return {Path(row["image"]).name: row["sha256"] for row in csv.DictReader(rows)}


def sha256(data: bytes | str) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def outcomes(collected: Collected) -> list[tuple[str, str, str | None, str]]:
    return sorted((c.outcome, c.label, c.was, c.reviewer) for c in collected.corrections)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_what_is_new_gone_and_relabeled_is_counted(shop: Shop) -> None:
    first = shop.collect()
    shop.put("photos/hats/4.jpg")
    (shop.folder / "photos" / "boots" / "1.jpg").unlink()
    shop.correct(f",{sha256('photos/boots/2.jpg')},hats,,anna,,2026-05-01")
    second = shop.collect()
    assert (second.new, second.gone, second.relabeled) == (1, 1, 1)
    assert second.fingerprint != first.fingerprint


def test_a_broken_file_counts_by_its_bytes_and_a_missing_one_not_at_all(shop: Shop) -> None:
    (shop.folder / "shop.csv").write_text("image,label\nphotos/boots/1.jpg,boots\nphotos/none.jpg,hats\n")
    first = shop.collect(data="shop.csv")
    assert first.new == 1
    shop.put("photos/none.jpg", b"no image")
    second = shop.collect(data="shop.csv")
    assert (second.new, second.fingerprint == first.fingerprint) == (1, False)


def test_a_correction_is_of_every_photo_with_its_bytes(shop: Shop) -> None:
    shop.put("photos/boots/copy.jpg", b"photos/boots/1.jpg")
    shop.correct(f"/moved/away.jpg,{sha256('photos/boots/1.jpg')},hats,boots,anna,,2026-05-01")
    assert outcomes(shop.collect()) == [("applied", "hats", "boots", "anna")]
    assert {name for name, label in shop.labels.items() if label == "hats"} == {
        "photos/boots/1.jpg",
        "photos/boots/copy.jpg",
        "photos/hats/3.jpg",
    }


def test_reviewers_who_name_a_photo_in_two_ways_can_disagree(shop: Shop) -> None:
    shop.correct(
        "photos/boots/1.jpg,,hats,,anna,,2026-05-01", f",{sha256('photos/boots/1.jpg')},shoes,,bob,,2026-05-01"
    )
    assert outcomes(shop.collect()) == [("conflict", "hats", "boots", "anna"), ("conflict", "shoes", "boots", "bob")]
    assert shop.labels["photos/boots/1.jpg"] == "boots"


def test_classes_are_renamed_merged_and_dropped(shop: Shop) -> None:
    shop.put("photos/misc/6.jpg")
    shop.put("photos/misc/7.jpg")
    shop.correct(
        f",{sha256('photos/misc/7.jpg')},boots,,anna,,2026-05-01",
        f",{sha256('photos/hats/3.jpg')},caps,,anna,,2026-05-01",
    )
    collected = shop.collect(ClassMap(rename={"boots": "shoes", "caps": "hats"}, drop=("misc",)))
    assert (collected.photos, collected.dropped) == ({"hats": 1, "shoes": 3}, {"misc": 1})
    assert outcomes(collected) == [("agrees", "hats", "hats", "anna"), ("applied", "shoes", "misc", "anna")]


def test_splits_and_products_of_the_data_are_kept_and_added_photos_only_learned_from(shop: Shop) -> None:
    (shop.folder / "shop.csv").write_text(
        'image,label,split,group\nphotos/boots/1.jpg,boots,train,"a, b"\nphotos/hats/3.jpg,hats,test,\n'
    )
    shop.put("catalogue/8.jpg")
    shop.correct("catalogue/8.jpg,,hats,,anna,,2026-05-01")
    shop.collect(data="shop.csv")
    with (shop.last / "dataset.csv").open(newline="") as file:
        assert [(row["split"], row["group"]) for row in csv.DictReader(file)] == [
            ("train", "a, b"),
            ("test", ""),
            ("learn", ""),
        ]
    last = read_dataset(shop.last / "dataset.csv").photos[-1]
    assert (last.split, last.chosen) == (None, True)


def test_a_correction_of_a_new_photo_has_the_models_label_and_the_photos_sha256(shop: Shop) -> None:
    shop.put("catalogue/8.jpg")
    shop.correct("catalogue/8.jpg,,hats,boots,anna,,2026-05-01", "photos/hats/3.jpg,,boots,shoes,anna,,2026-05-01")
    new, known = sorted(shop.collect().corrections, key=lambda one: one.image)
    assert (new.outcome, new.was, new.sha256) == ("added", "boots", sha256("catalogue/8.jpg"))
    assert (known.outcome, known.was, known.sha256) == ("applied", "hats", sha256("photos/hats/3.jpg"))


def test_a_row_of_the_data_stays_of_the_bytes_that_it_names(tmp_path):
    shop = Shop(tmp_path)
    named, gone = sha256("as labelled"), sha256("gone")
    rows = [f"photos/boots/1.jpg,boots,{named}", "photos/hats/3.jpg,hats,", f"photos/gone.jpg,hats,{gone}"]
    (tmp_path / "data.csv").write_text("\n".join(["image,label,sha256", *rows]))
    shop.collect(data="data.csv")
    assert digests(shop.last / "dataset.csv") == {"1.jpg": named, "3.jpg": sha256("photos/hats/3.jpg"), "gone.jpg": ""}


def test_what_reviewers_call_no_product_is_learned_from_as_such(shop: Shop) -> None:
    hand, several = shop.put("elsewhere/hand.jpg"), shop.put("elsewhere/several.jpg")
    before = shop.collect()
    shop.correct(
        f"{hand},{sha256('elsewhere/hand.jpg')},,,anna,,2026-05-01,not_a_product",
        f",{sha256('photos/boots/1.jpg')},,,ben,,2026-05-01,not_a_product",
        f"{several},{sha256('elsewhere/several.jpg')},,,anna,,2026-05-01,more_than_one",
    )
    collected = shop.collect()
    assert outcomes(collected) == [("added", "_none", None, "anna"), ("applied", "_none", "boots", "ben")]
    assert shop.labels == {
        "photos/boots/1.jpg": "_none",
        "photos/boots/2.jpg": "boots",
        "photos/hats/3.jpg": "hats",
        "elsewhere/hand.jpg": "_none",
    }
    assert (collected.photos, collected.outliers, collected.new) == ({"boots": 1, "hats": 1}, 2, 1)
    assert collected.fingerprint != before.fingerprint
    assert not any("New class" in line for line in collected_notes(collected, {"boots", "hats"}))


def test_a_table_is_collected_with_its_columns_and_missing_photos_are_reported(shop: Shop) -> None:
    """Photos behind URLs are fetched; a failed photo keeps its row, so that a training counts it."""
    with open_scripted_server() as server:
        server.answers = {"/1.jpg": [Answer(b"\xff\xd8 one")], "/2.jpg": [Answer(status=404)]}
        cells = [server.url("/1.jpg"), server.url("/2.jpg"), "photos/hats/3.jpg", "photos/boots/2.jpg"]
        kinds = ["boots", "boots", "hats", ""]
        rows = (f"{cell};{kind};{sku}\n" for cell, kind, sku in zip(cells, kinds, "ABCD", strict=True))
        (shop.folder / "shop.csv").write_text("shot;kind;sku\n" + "".join(rows))
        asked = {"image_column": "shot", "label_column": "kind", "group_column": "sku"}
        config = RetrainConfig(
            name="shop",
            data=shop.folder / "shop.csv",
            folder=shop.folder / "cycles",
            train=TrainSettings(**asked, allow_hosts=(server.host,)),
        )
        told: list[tuple[str, int, int]] = []
        cache = shop.folder / "cache"
        collected = collect(config, shop.folder / "cycle", None, (), cache, lambda *step: told.append(step))
    assert list(dict.fromkeys(step for step, done, total in told if done == total)) == ["Fetching", "Reading"]
    assert len([path for path in (cache / "photos").rglob("*") if path.is_file()]) == 1
    photos = read_dataset(shop.folder / "cycle" / "dataset.csv").photos
    assert [(photo.label, photo.product, photo.sha256) for photo in photos] == [
        ("boots", "A", sha256(b"\xff\xd8 one")),
        ("boots", "B", None),
        ("hats", "C", sha256("photos/hats/3.jpg")),
    ]
    assert [photo.path.exists() for photo in photos] == [True, False, True]
    assert collected.notes[:2] == (
        "labels are in 'kind', photos in 'shot', products in 'sku'",
        "1 row has no label and is left out",
    )
    assert collected.notes[2].startswith("1 photo could not be downloaded, such as: ")
    assert tuple(collected_notes(collected, ())) == collected.notes


def test_a_missing_file_of_corrections_is_named_with_the_files_of_questions(shop: Shop) -> None:
    assert shop.collect().notes == (f"No corrections: {shop.folder / 'corrections.csv'} does not exist yet.",)
    (shop.folder / "corrections-colour.csv").touch()
    assert "has corrections-colour.csv: in the config, set corrections" in shop.collect().notes[-1]
    shop.correct()
    assert not shop.collect().notes


@pytest.mark.parametrize(("rows", "most", "refused"), [(60, 0.02, True), (100, 0.02, False), (60, 0.05, False)])
def test_a_host_that_is_away_ends_the_cycle_unless_it_has_few_of_the_photos(
    shop: Shop, rows: int, most: float, refused: bool
) -> None:
    """Two photos could come next time: without them a worse model might be promoted."""
    cells = ["http://127.0.0.1:9/a.jpg", "http://127.0.0.1:9/b.jpg"]  # a private address that is not allowed
    cells += [f"photos/{n}.jpg" for n in range(rows - len(cells))]  # these are missing, without any host's fault
    (shop.folder / "shop.csv").write_text(
        "image,label\n" + "".join(f"{cell},{('boots', 'hats')[n % 2]}\n" for n, cell in enumerate(cells))
    )
    config = RetrainConfig(
        name="shop",
        data=shop.folder / "shop.csv",
        folder=shop.folder / "cycles",
        gate=GateSettings(max_unread_share=most),
    )

    def collected() -> Collected:
        return collect(config, shop.folder / "cycle", None, (), shop.folder / "cache", lambda *_: None)

    if refused:
        with pytest.raises(DataError, match=f"2 of {rows}"):
            collected()
        assert not (shop.folder / "cycle").exists()
    else:
        assert collected().notes[0].startswith("2 photos could not be downloaded")


def test_the_tree_that_labels_of_a_table_state_is_kept_under_todays_names(shop: Shop) -> None:
    rows = ("boots/1.jpg,worn > shoes > boots", "boots/2.jpg,worn > shoes > sandals", "hats/3.jpg,hats")
    (shop.folder / "shop.csv").write_text("\n".join(["image,label", *(f"photos/{row}" for row in rows)]))
    collected = shop.collect(ClassMap(rename={"boots": "boot", "shoes": "footwear"}), data="shop.csv")
    assert collected.photos == {"boot": 1, "hats": 1, "sandals": 1}
    assert collected.parents == {"boot": "footwear", "sandals": "footwear", "footwear": "worn"}


def test_a_photo_that_nobody_can_find_is_listed(shop: Shop) -> None:
    changed = shop.put("catalogue/8.jpg", b"saved anew")
    shop.correct(
        f"{changed},{'0' * 64},hats,,anna,,2026-05-01",
        "gone.jpg,,hats,,anna,,2026-05-01",
        "https://shop.example/9.jpg,,hats,,anna,,2026-05-01",
        f",{'1' * 64},hats,,anna,,2026-05-01",
    )
    collected = shop.collect()
    assert {c.outcome for c in collected.corrections} == {"not_found"}
    assert sorted(c.image for c in collected.corrections) == sorted(
        [str(changed), str(shop.folder / "gone.jpg"), "https://shop.example/9.jpg", "1" * 64]
    )
    assert len(shop.labels) == 3
