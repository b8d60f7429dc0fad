"""Photos that end their process, or never let go of it."""

from pathlib import Path

from tests.until import until

from .farm import Farm
from .jobs import assert_same, photo_names, write_list
from .processes import with_bad_formats

BAD = {
    100: ("boom.jpg", b"BOOM", "crashed"),
    120: ("boom2.jpg", b"BOOM", "crashed"),
    400: ("hang.jpg", b"HANG", "timeout"),
}
"""Row → the photo put before it; two are in the first chunk, one in the second."""


def test_photos_that_crash_or_hang_the_decoder_are_failed_rows(
    farm: Farm, catalogue: Path, bundle: Path, truth
) -> None:
    good = photo_names(catalogue, 600)
    names = [str(catalogue / name) for name in good]
    for row, (name, data, _) in BAD.items():
        (farm.folder / name).write_bytes(data)
        names.insert(row, str(farm.folder / name))
    job = farm.submit(write_list(farm.folder / "list.txt", names), bundle, root=Path("/"), timeout_s=1.0)
    worker = farm.worker(env=with_bad_formats())
    receipt = job.wait_for_end()
    until(farm.is_idle, "no process hangs on a photo any more", 5.0)
    rows = job.rows()
    assert [row["image"] for row in rows] == names
    bad = [(number, Path(rows[number]["image"]).name, rows[number]["error"]) for number in BAD]
    assert bad == [(number, name, error) for number, (name, _, error) in BAD.items()]
    others = [row for number, row in enumerate(rows) if number not in BAD]
    assert_same(others, [{"image": str(catalogue / name), **truth[name]} for name in good])
    assert receipt.work.deaths >= len(BAD)
    assert worker.alive
