import io
import socket
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.photo_jobs import photo_job
from worker.page.brought import brought

WITHIN_S = 0.5
SOON_S = 5.0


def test_photos_come_small_and_those_that_cannot_be_read_not_at_all(photo: Path) -> None:
    (photo.parent / "damaged.jpg").write_bytes(b"no photo")
    found = brought(photo_job(photo.parent), [photo.name, None, "", photo.name, "damaged.jpg", "gone.jpg"])
    assert list(found) == [photo.name]
    assert Image.open(io.BytesIO(found[photo.name])).size == (200, 200)


@pytest.mark.parametrize("confined", [True, False])
def test_of_a_confined_job_nothing_outside_its_root_is_shown(photo: Path, *, confined: bool) -> None:
    root = photo.parent / "root"
    root.mkdir()
    (root / "link.png").symlink_to(photo)
    photo.rename(root / "inside.png")
    outside = photo
    Image.new("RGB", (8, 8)).save(outside)
    found = brought(photo_job(root, confined=confined), ["inside.png", "link.png", "../blue.png", str(outside)])
    assert set(found) == ({"inside.png"} if confined else {"inside.png", "link.png", "../blue.png", str(outside)})


def test_an_address_that_is_not_public_is_not_asked_for_a_page() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert brought(photo_job("/nowhere"), [f"http://127.0.0.1:{port}/a.jpg"]) == {}
        server.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_hosts_that_stay_silent_delay_a_page_no_longer_than_said(photo: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        job = photo_job(photo.parent, allow_hosts=(place,))
        start = time.monotonic()
        found = brought(job, [*(f"http://{place}/{number}.jpg" for number in range(40)), photo.name], WITHIN_S)
        assert time.monotonic() - start < WITHIN_S + SOON_S
    assert list(found) == [photo.name]


def test_when_the_time_is_over_no_more_is_read_from_a_disk_either(photo: Path) -> None:
    assert brought(photo_job(photo.parent), [photo.name], 0.0) == {}
