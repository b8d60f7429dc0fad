"""What nobody foresaw, of one photo: a name server, a cell. Clients that raise are in ``test_downloads.py``."""

import pytest

from models.errors import ImageError, ImageFault
from tests.photo_jobs import photo_job, take_all, wanted
from worker.photos.cells import Cells, Target
from worker.photos.photo import Limits
from worker.photos.source import photos_of


@pytest.mark.parametrize("error", [RuntimeError("no resolver"), IndexError(7), OSError("away")])
def test_a_name_server_fails_the_rows_of_its_names(error, tmp_path):
    def look_up(host: str) -> list[str]:
        raise error

    source = photos_of(photo_job(tmp_path), Limits(tries=1), look_up)
    (tmp_path / "a.jpg").write_bytes(b"photo")
    source.want(wanted("http://shop.test/a.jpg", "a.jpg"), {})
    bad, good = take_all(source, 2)
    source.close()
    assert bad.outcome.fault is ImageFault.DOWNLOAD
    assert good.outcome == b"photo"


STRANGE = [
    "\ud800", "a\ud800.jpg", "http://a.test/\ud800.jpg", "http://\ud800.test/a.jpg",
    "s3://bucket/\ud800", "data:,\ud800", "\x00", "http://a\x00.test/", "a" * 5_000_000,
    "a/" * 100_000, "http://" + "a" * 5_000_000, "http://" + "ü" * 5000 + ".test/",
    "http://" + "xn--a" * 20 + "/", "http://xn--.test/", "http://\u200d.test/", "http://\u2488com/",
    "http://a.test:٣/", "http://a.test:99999999999/", "http://[::1%25\ud800]/",
    "http://[" + ":" * 5000 + "]/", "data:;base64," + "=" * 1000, ":" * 100_000, "%" * 100_000,
    "://", "\u202e\x1b[2J",
]  # fmt: skip


@pytest.mark.parametrize("cell", STRANGE, ids=range(len(STRANGE)))
@pytest.mark.parametrize("root", ["{}", "s3://bucket", "http://127.0.0.1:1/a"])
def test_a_cell_fails_its_row(cell, root, tmp_path):
    job = photo_job(root.format(tmp_path), confined=True)
    try:
        place = Cells(job.spec.image_root, confined=job.spec.confined).place(cell)
    except ImageError:
        assert Cells(job.spec.image_root, confined=job.spec.confined).url(cell) is None
        return
    if isinstance(place, Target):
        assert Cells(job.spec.image_root, confined=job.spec.confined).url(cell) == place.text
        return
    with pytest.raises(ImageError):
        place()
