"""Terminal escapes and markup of others, in names, cells and labels, are shown and not obeyed."""

import csv
import shutil
from pathlib import Path

from tests.command import clean_environment, run_hangtag

EVIL = "\x1b]8;;http:evil\x07\x1b[2Jhat\u202e[red]"
SHOWN = r"\x1b]8;;http:evil\x07\x1b[2Jhat\u202e[red]"
OBEYED = ("\x1b", "\x07", "\u202e")


def hangtag(*arguments: object) -> tuple[int, str]:
    done = run_hangtag(*arguments, env=clean_environment(COLUMNS="1000"))
    assert not [sign for sign in OBEYED if sign in done.stdout + done.stderr]
    return done.returncode, done.stdout + done.stderr


def test_the_cells_of_a_catalogue(tmp_path: Path, catalogue: Path, bundle: Path) -> None:
    source, output = tmp_path / "shop.csv", tmp_path / "labels.csv"
    photo = next(catalogue.rglob("*.webp"))
    with source.open("w") as file:
        csv.writer(file).writerows([["image"], [photo], [f"{EVIL}.jpg"], [f"http://127.0.0.1:9/{EVIL}"]])
    status, said = hangtag("label", source, "--model", bundle, "--out", output)
    assert status == 0
    assert SHOWN in said


def test_secrets_of_urls_stay_in_the_cells(tmp_path: Path, catalogue: Path, bundle: Path) -> None:
    urls = (
        "https://me:SECRET@h.invalid/a.jpg",
        "http://127.0.0.1:9/a.jpg?X-Amz-Signature=SECRET&a=1",
        "ftp://h/a?SECRET",
        "https:\\\\me:SECRET@h.invalid\\a.jpg",
        "hat.jpg?sig=SECRET",
    )
    source, output = tmp_path / "shop.csv", tmp_path / "labels.csv"
    source.write_text("\n".join(["image,label", f"{next(catalogue.rglob('*.webp'))},a", *(f"{url},b" for url in urls)]))
    status, said = hangtag("label", source, "--model", bundle, "--out", output, "--prefix", "ht_")
    assert (status, "h.invalid" in said) == (0, True)
    pages = [file.read_text() for name in ("receipt.*", "logs/*") for file in tmp_path.glob(f"labels.csv.job/{name}")]
    with output.open() as file:
        rows = list(csv.DictReader(file))
    assert len(pages) >= 3
    assert "SECRET" not in "".join([said, *pages, *(row["ht_error_message"] for row in rows)])
    assert tuple(row["image"] for row in rows[1:]) == urls
    source.write_text(source.read_text().replace("hat.jpg?sig=SECRET", "hat.jpg"))  # check names files by their paths
    status, said = hangtag("check", source, "--out", tmp_path / "checked")
    pages = [file.read_text() for file in (tmp_path / "checked").iterdir()]
    assert (status, "SECRET" in "".join([said, *pages])) == (0, False)


def test_the_names_of_photos_and_of_classes(tmp_path: Path, catalogue: Path, bundle: Path) -> None:
    folder, other = tmp_path / "photos" / EVIL, tmp_path / "photos" / "shoe"
    for made, place in zip((folder, other), sorted(filter(Path.is_dir, catalogue.iterdir())), strict=False):
        shutil.copytree(place, made)
    broken = folder / f"{EVIL}.jpg"
    broken.write_text("no photo")
    status, said = hangtag("classify", broken, "--model", bundle)
    assert (status, SHOWN in said) == (1, True)
    status, said = hangtag("check", tmp_path / "photos", "--out", tmp_path / "checked")
    assert (status, "hat" in said) == (0, True)


def test_an_error(tmp_path: Path, bundle: Path) -> None:
    source = tmp_path / f"{EVIL}.csv"
    source.write_text(f"{EVIL},sku\na.jpg,1\n")
    status, said = hangtag("label", source, "--model", bundle, "--out", tmp_path / "labels.csv")
    assert (status, SHOWN in said) == (2, True)
