"""A catalogue in S3: its file, or a folder of photos."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.errors import InputError, JobError
from worker.sources.catalogue import Catalogue, open_catalogue

from .s3_server import PAGE_KEYS, Fault, Kind, S3Server


def rows(catalogue: Catalogue) -> list[dict[str, str]]:
    return [row for batch in catalogue.batches for row in batch.to_pylist()]


@pytest.mark.parametrize("folder", ["", "/feeds/new"])
def test_a_file_is_read_like_one_on_disk(s3: S3Server, bucket: str, folder: str) -> None:
    s3.put(f"/{bucket}{folder}/spring.csv", b"image;sku\r\na.jpg;00123\r\n")
    catalogue = open_catalogue(f"s3://{bucket}{folder}/spring.csv")
    assert rows(catalogue) == [{"image": "a.jpg", "sku": "00123"}]
    assert catalogue.source == f"s3://{bucket}{folder}/spring.csv"
    assert catalogue.image_root == f"s3://{bucket}{folder}"


def test_a_large_file_whose_answer_breaks_off_comes_whole(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    table = pa.table({"image": [f"https://shop.example/{n}.jpg" for n in range(50_000)], "n": range(50_000)})
    pq.write_table(table, tmp_path / "a.parquet", compression="none", use_dictionary=False)
    s3.put(f"/{bucket}/a.parquet", (tmp_path / "a.parquet").read_bytes())
    s3.fail(Fault("GET", Kind.CUT_SHORT), Fault("GET", status=503, code="SlowDown"))
    catalogue = open_catalogue(f"s3://{bucket}/a.parquet")
    assert s3.faults_left() == 0
    assert pa.Table.from_batches(list(catalogue.batches)).equals(table)


def test_a_file_whose_answer_says_nothing_of_its_length_and_breaks_off_comes_whole(s3: S3Server, bucket: str) -> None:
    s3.put(f"/{bucket}/a.txt", b"a.jpg\nb.jpg")
    s3.fail(Fault("GET", Kind.CUT_SHORT_UNSIZED))
    assert rows(open_catalogue(f"s3://{bucket}/a.txt")) == [{"image": "a.jpg"}, {"image": "b.jpg"}]
    assert s3.faults_left() == 0


def test_a_folder_gives_its_photos_page_by_page(s3: S3Server, bucket: str) -> None:
    photos = [f"{kind}/{n:02}.{ending}" for kind in ("dress", "shoes") for n in range(PAGE_KEYS) for ending in ("JPG",)]
    others = ["notes.txt", "dress/a.psd", "dress/readme", ".hidden.jpg", ".cache/1.jpg", "shoes/.old/1.jpg", "shoes/"]
    for key in [*photos, "a b+ü#?.png", *others]:
        s3.put(
            f"/{bucket}/photos/{key}".replace("?", "%3F").replace("#", "%23").replace(" ", "%20").replace("ü", "%C3%BC")
        )
    s3.put(f"/{bucket}/photos-of-others/1.jpg")
    for url in (f"s3://{bucket}/photos/", f"s3://{bucket}/photos"):
        catalogue = open_catalogue(url)
        assert [row["image"] for row in rows(catalogue)] == ["a b+ü#?.png", *photos]
        assert catalogue.left_out == {".txt": 1, ".psd": 1, "": 1}
        assert (catalogue.source, catalogue.image_root) == (f"s3://{bucket}/photos",) * 2


def test_a_whole_bucket_is_a_folder(s3: S3Server, bucket: str) -> None:
    s3.put(f"/{bucket}/1.jpg")
    assert rows(open_catalogue(f"s3://{bucket}")) == [{"image": "1.jpg"}]


def test_what_is_not_there_is_told(s3: S3Server, bucket: str) -> None:
    with pytest.raises(InputError, match=f"Expected a catalogue at s3://{bucket}/a.csv, S3 has nothing there"):
        open_catalogue(f"s3://{bucket}/a.csv")
    with pytest.raises(InputError, match=f"Expected image files in s3://{bucket}/photos, found none"):
        open_catalogue(f"s3://{bucket}/photos/")
    with pytest.raises(InputError, match="Expected no --encoding"):
        open_catalogue(f"s3://{bucket}/photos/", encoding="cp1252")
    for place in (f"s3://{bucket}-none/a.csv", f"s3://{bucket}-none/photos/"):
        with pytest.raises(JobError, match="NoSuchBucket"):
            open_catalogue(place)
