from dataclasses import dataclass
from pathlib import Path

import pytest

from trainer.sample import SampleCatalogue, draw_catalogue

COUNT = 600
SEED = 7


@dataclass(frozen=True)
class DrawnCatalogue:
    out: Path
    report: SampleCatalogue
    calls: int

    def photos(self) -> list[Path]:
        """The sound photos, in the order in which they were drawn."""
        return sorted((p for p in self.out.glob("*/*") if int(p.stem) < COUNT), key=lambda p: p.stem)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> DrawnCatalogue:
    out = tmp_path_factory.mktemp("sample") / "catalogue"
    calls: list[None] = []
    report = draw_catalogue(out, COUNT, SEED, on_photo=lambda: calls.append(None))
    return DrawnCatalogue(out, report, len(calls))
