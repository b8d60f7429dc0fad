import base64
import json
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from models.errors import DataError, InputError
from models.preprocess import PreprocessSpec
from trainer.check.checkup import scan_photos
from trainer.data.dataset import LabeledPhoto, Split
from trainer.data.photo_cache import PixelStore, StatisticsStore
from trainer.data.photo_files import file_sha256
from trainer.request import UnlabelledSource
from trainer.splits.assigned import AssignedPhoto
from trainer.splits.unlabelled import Fate, UnlabelledPhoto, find_unlabelled, read_unlabelled, write_unlabelled


def nothing(*_): ...


@pytest.fixture
def draw(tmp_path, tiles):
    """Draws a photo of its own for each seed."""

    def to(name, seed, **options):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        tiles(seed).save(path, **options)
        return path

    return to


@pytest.fixture
def stores(tmp_path):
    return PixelStore(tmp_path / "cache", PreprocessSpec(size=16)), StatisticsStore(tmp_path / "cache")


@pytest.fixture
def find(stores):
    """Finds photos without labels beside labelled ones, (path, split), which a training has looked at before."""

    def found(source, *labelled, budget=100, **options):
        photos = [AssignedPhoto(path, "hat", split, file_sha256(path), str(path)) for path, split in labelled]
        scan_photos([LabeledPhoto(one.path, "hat") for one in photos], stores[1], nothing)
        return find_unlabelled(UnlabelledSource(str(source), **options), photos, budget, stores, 0, nothing)

    return found


def fates(found):
    return {Path(photo.image).name: photo.fate for photo in found.photos}


def test_no_photo_shows_the_picture_of_a_labelled_one_and_each_other_picture_comes_once(draw, find, tmp_path):
    test, held, learned = (draw(f"own/{n}.png", n) for n in range(3))
    draw("all/like-test.jpg", 0, quality=70)
    draw("all/like-val.jpg", 1, quality=70)
    draw("all/like-train.jpg", 2, quality=70)
    (tmp_path / "all" / "test.png").write_bytes(test.read_bytes())
    draw("all/new.png", 3)
    draw("all/new-again.jpg", 3, quality=70)
    draw("all/other.png", 4)
    found = find(tmp_path / "all", (test, Split.TEST), (held, Split.VAL), (learned, Split.TRAIN))
    assert fates(found) == {
        "like-test.jpg": Fate.JUDGED,
        "test.png": Fate.JUDGED,
        "like-val.jpg": Fate.JUDGED,
        "like-train.jpg": Fate.LABELED,
        "new-again.jpg": Fate.CANDIDATE,
        "new.png": Fate.REPEAT,
        "other.png": Fate.CANDIDATE,
    }
    assert "2 photos without labels to learn from, of 7 rows" in found.note
    assert "3 with the picture of a validation or test photo; 1 with the picture of another labelled" in found.note
    assert str(tmp_path) not in found.note


def test_a_test_photo_of_an_earlier_training_that_is_gone_is_known_by_its_bytes(draw, stores, tmp_path):
    gone, _ = draw("all/0.png", 0), draw("all/1.png", 1)
    earlier = AssignedPhoto(Path("/gone.png"), "hat", Split.TEST, file_sha256(gone), "g", present=False)
    found = find_unlabelled(UnlabelledSource(str(tmp_path / "all")), [earlier], 10, stores, 0, nothing)
    assert fates(found) == {"0.png": Fate.JUDGED, "1.png": Fate.CANDIDATE}


def test_a_picture_that_stands_in_training_and_in_test_counts_as_a_test_photo(draw, find, tmp_path):
    one, other, _ = draw("own/0.png", 0), draw("own/1.jpg", 0, quality=70), draw("all/9.png", 9)
    (tmp_path / "all" / "same.png").write_bytes(one.read_bytes())
    for splits in ((Split.TEST, Split.TRAIN), (Split.TRAIN, Split.TEST)):
        found = find(tmp_path / "all", *zip((one, other), splits, strict=True))
        assert fates(found)["same.png"] is Fate.JUDGED


def test_rows_of_every_source_are_read_and_those_that_cannot_be_are_counted_and_named(draw, find, stores, tmp_path):
    draw("photos/a.png", 1)
    data = base64.b64encode(draw("b.png", 2).read_bytes()).decode()
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no photo")
    cells = ["photos/a.png", f"data:image/png;base64,{data}", "photos/broken.jpg", "photos/gone.png", "", "ftp://x/y"]
    source = tmp_path / "shop.jsonl"
    source.write_text("".join(json.dumps({"sku": n, "shot": cell}) + "\n" for n, cell in enumerate(cells)))
    found = find(source, image_column="shot")
    assert [photo.fate for photo in found.photos] == [Fate.CANDIDATE] * 2 + [Fate.UNREADABLE] * 4
    assert [photo.row for photo in found.photos] == [1, 2, 3, 4, 5, 6]
    assert found.photos[1].image == "data:image/png;base64"
    assert "4 cannot be read, such as row 3 (broken.jpg), row 4 (gone.png), row 5 (no name): see" in found.note
    said = [photo.message for photo in found.photos[2:]]
    assert [words[:24] for words in said[:2]] == [
        "It is text, not a photo;",
        "Expected a photo at " + str(tmp_path)[:4],
    ]
    assert all(said)
    taken = stores[0].take([photo.sha256 for photo in found.photos[:2]])
    assert taken.shape == (2, 16, 16, 3)
    assert not np.array_equal(taken[0], taken[1])


def test_of_many_rows_some_are_drawn_the_same_each_time(draw, find, tmp_path):
    for seed in range(12):
        draw(f"all/{seed}.png", seed)
    first, second = (find(tmp_path / "all", budget=3) for _ in range(2))
    assert first == second
    assert (len(first.photos), first.rows) == (6, 12)
    assert "of 6 of 12 rows" in first.note


def test_a_catalogue_without_a_photo_to_learn_from_is_refused(draw, find, tmp_path):
    test = draw("all/0.png", 0)
    with pytest.raises(DataError, match=r"found none: .* 1 with the picture of a validation or test photo"):
        find(tmp_path / "all", (test, Split.TEST))
    (tmp_path / "two.csv").write_text("front,back\na,b\n")
    with pytest.raises(InputError, match="Pass --image-column"):
        find(tmp_path / "two.csv")


def test_what_is_written_is_read_again_and_nothing_else(tmp_path):
    photos = [
        UnlabelledPhoto(1, "/photos/a,b.jpg", "ab", Fate.LEARNED, "hat", 0.9),
        UnlabelledPhoto(7, "https://host/x.jpg", fate=Fate.UNREADABLE, message="gone;\ntry later"),
    ]
    photos.append(UnlabelledPhoto(9, "/photos/c.jpg", "cd", Fate.LABELED))
    path = tmp_path / "run" / "unlabeled.csv"
    assert read_unlabelled(path) == []
    write_unlabelled(path, photos)
    assert read_unlabelled(path) == photos
    path.write_text(path.read_text().replace("labeled", "labelled"))  # as an earlier Hangtag spelled it
    assert read_unlabelled(path) == photos
    path.write_text(path.read_text().replace("learned", "eaten"))
    with pytest.raises(InputError, match=r"unlabeled\.csv, it is damaged"):
        read_unlabelled(path)


def test_what_a_url_is_signed_with_is_written_nowhere(find, tmp_path):
    (tmp_path / "x.png").write_bytes(b"")
    (tmp_path / "all.txt").write_text("http://127.0.0.1:9/a.jpg?token=secret\n")
    with pytest.raises(DataError) as caught:
        find(tmp_path / "all.txt")
    assert "127.0.0.1" in str(caught.value)
    assert "secret" not in str(caught.value)
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    (tmp_path / "all.txt").write_text("http://127.0.0.1:9/a.jpg?token=secret\nred.png\n")
    assert "secret" not in find(tmp_path / "all.txt").photos[0].image


def test_photos_at_urls_are_fetched_and_what_a_host_lacks_is_named(draw, find, stores, tmp_path):
    draw("shop/1.png", 1)
    handler = partial(QuietHandler, directory=str(tmp_path / "shop"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        (tmp_path / "all.csv").write_text("url\n" + "".join(f"http://{host}/{n}.png?{'secret' * 60}\n" for n in (1, 2)))
        found = find(tmp_path / "all.csv", allow_hosts=(host,))
        server.shutdown()
    assert fates(found) == {"1.png": Fate.CANDIDATE, "2.png": Fate.UNREADABLE}
    assert found.photos[0].sha256 == file_sha256(tmp_path / "shop" / "1.png")
    assert stores[0].take([found.photos[0].sha256]).any()
    assert "1 cannot be read, such as row 2 (2.png)" in found.note
    assert "secret" not in repr(found)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass
