from dataclasses import dataclass
from pathlib import Path

import pytest

from trainer.sample.catalogue import draw_catalogue

COUNT = 300
SEED = 7


@dataclass(frozen=True)
class DrawnCatalogue:
    out: Path
    calls: int

    def photos(self) -> list[Path]:
        """The sound photos, in the order in which they were drawn."""
        return [path for path in self.files() if int(path.stem) < COUNT]

    def files(self) -> list[Path]:
        """All files; behind the photos four copies, a JPEG that ends too early, a web page, and a PNG named jpg."""
        return sorted(self.out.glob("*/*"), key=lambda path: path.stem)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> DrawnCatalogue:
    out = tmp_path_factory.mktemp("sample") / "catalogue"
    calls: list[None] = []
    draw_catalogue(out, COUNT, SEED, on_photo=lambda: calls.append(None))
    return DrawnCatalogue(out, len(calls))
