"""A fake retraining without learning: each step quickly writes files like a real step's."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from models.errors import StoppedError
from models.fit import Fit
from models.registry.history import CHAMPION
from models.registry.registry import open_registry
from models.whole_file import replace_file
from tests.paper_bundle import write_paper_bundle
from trainer.data.dataset import Split
from trainer.request import Arch, Balance
from trainer.retrain.config import CatalogueSettings, GateSettings, RetrainConfig
from trainer.retrain.cycle import CycleOptions, retrain
from trainer.retrain.cycle_folder import CatalogueDiff, Check, Collected, Comparison, Footprint, GateVerdict, Outcome
from trainer.retrain.tools import CycleTools
from trainer.run import Run, RunArgs, RunState
from trainer.splits.assigned import AssignedPhoto, read_splits, write_splits

PAPER_ARGS = RunArgs(
    name="run",
    data=Path("photos"),
    arch=Arch.CNN,
    image_size=48,
    fit=Fit.PAD,
    classes=("boots", "hats"),
    epochs=1,
    batch=1,
    weights="none",
    balance=Balance.NONE,
    folds=0,
    made_with={},
)


BETTER = {
    "champion_accuracy": 0.5, "won": 2, "lost": 1, "points": 10.0, "points_95": (1.0, 19.0), "smallest_points": 2.0
}  # fmt: skip


class PaperView:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[str] = []

    def note(self, line: str) -> None:
        self.notes.append(line)

    def step(self, name: str = "", title: object = "") -> "PaperView":
        self.steps.append(name)
        return self

    def __enter__(self) -> "PaperView":
        return self

    def __exit__(self, *error: object) -> None: ...

    def advance(self, what: str, done: int, total: int) -> None: ...

    def prepared(self, prepared: object, args: object) -> None: ...

    def goes_on(self, evaluation: object, run: object, args: object, seconds: float | None) -> None: ...

    def epoch(self, figures: object, epochs: int) -> None: ...


def photo_rows(start: int, end: int) -> list[tuple[str, str]]:
    return [(f"/photos/{number}.jpg", ("boots", "hats")[number % 2]) for number in range(start, end)]


@dataclass
class PaperShop:
    """A shop's photos, its registry and its cycles, in one folder."""

    root: Path
    passes: bool = True
    calls: list[str] = field(default_factory=list)
    requests: list[object] = field(default_factory=list)

    @property
    def config(self) -> RetrainConfig:
        return RetrainConfig(
            name="shop",
            data=self.root / "photos.csv",
            registry=str(self.root / "registry"),
            folder=self.root / "cycles",
        )

    def asked(self, **settings: object) -> RetrainConfig:
        return self.config.model_copy(update=settings)

    @property
    def registry(self):
        return open_registry(str(self.root / "registry"))

    def put(self, rows: Sequence[tuple[str, str]]) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        with self.config.data.open("w", newline="") as file:
            csv.writer(file).writerows([("image", "label"), *rows])

    def publish_champion(self, seed: int = 900, *, photos: Sequence[AssignedPhoto] | None = None) -> int:
        run = self.root / f"by-hand-{seed}"
        train_on_paper(run, photos if photos is not None else extended([], self.rows()))
        files = {"splits.csv": run / "splits.csv", "best.keras": Run(run).best, "args.json": run / "args.json"}
        bundle = write_paper_bundle(self.root / f"bundle-{seed}", seed)
        version = self.registry.publish("shop", bundle, "by hand", training=files).version
        self.registry.promote("shop", version, "by hand")
        return version

    def rows(self) -> list[tuple[str, str]]:
        with self.config.data.open(newline="") as file:
            return [(row["image"], row["label"]) for row in csv.DictReader(file)]

    def run(
        self,
        options: CycleOptions | None = None,
        config: RetrainConfig | None = None,
        view: PaperView | None = None,
        **tools,
    ) -> Outcome:
        passed = self.tools()
        vars(passed).update(tools)
        return retrain(config or self.config, options or CycleOptions(), view or PaperView(), passed)

    def stop_at(self, tool: str, error: BaseException | None = None) -> None:
        error = error or StoppedError("stopped")

        def fail(*of: object) -> None:
            raise error

        with pytest.raises(type(error)):
            self.run(**{tool: fail})
        self.calls.clear()

    def cycle(self, number: int = 1) -> Path:
        return self.root / "cycles" / f"{number:06d}"

    def champion(self) -> int | None:
        return self.registry.state("shop").aliases.get(CHAMPION)

    def tools(self) -> CycleTools:
        tools = CycleTools()
        vars(tools).update(
            collect=self._collect,
            train=self._train,
            resume=self._resume,
            export=self._export,
            compare=self._compare,
            judge=self._judge,
            draw_rows=lambda settings, folder: None,
            catalogue_diff=self._catalogue,
            write_report=self._report,
            log_cycle=lambda *of: "run-1",
            drifted_jobs=lambda places, digest, since, note: [],
            cache=lambda: self.root / "cache",
        )
        return tools

    def _collect(self, config, folder, earlier, known, cache, advance) -> Collected:
        self.calls.append("collect")
        rows, were = self.rows(), {str(photo.path): photo.label for photo in known if photo.present}
        replace_file(folder / "dataset.csv", config.data.read_bytes())
        collected = Collected(
            fingerprint=hashlib.sha256(repr(sorted(rows)).encode()).hexdigest(),
            photos={"boots": 1, "hats": 1},
            new=sum(image not in were for image, _ in rows),
            gone=len(were.keys() - {image for image, _ in rows}),
            relabeled=sum(were.get(image, label) != label for image, label in rows),
        )
        (folder / "collected.json").write_text(collected.model_dump_json())
        return collected

    def _train(self, request, run, cache, view) -> None:
        self.calls.append("train")
        self.requests.append(request)
        with request.data.open(newline="") as file:
            rows = [(row["image"], row["label"]) for row in csv.DictReader(file)]
        train_on_paper(run, extended(read_splits(request.splits) if request.splits else [], rows))

    def _resume(self, run, cache, view) -> None:
        self.calls.append("resume")
        finish_on_paper(Run(run))

    def _export(self, run, place, options, view) -> None:
        self.calls.append("export")
        number = int(place.parent.name)
        write_paper_bundle(place.parent / ".bundle", number).rename(place)

    def _compare(self, challenger, champion, classes, cache, advance) -> Comparison:
        self.calls.append(f"compare with {champion and champion.name}")
        return Comparison(
            champion=champion and champion.name,
            challenger=challenger.name,
            photos=10,
            challenger_accuracy=0.6,
            challenger_all=0.6,
            all_photos=10,
            classes={},
            challenger_footprint=Footprint(compared_bytes=1, default_bytes=1, images_per_s=1.0),
            **({} if champion is None else BETTER),
        )

    def _judge(self, settings: GateSettings, comparison: Comparison, catalogue: CatalogueDiff | None) -> GateVerdict:
        self.calls.append("judge")
        return GateVerdict(checks=(Check(name="accuracy", passed=self.passes, sentence="10 points better"),))

    def _catalogue(
        self, settings: CatalogueSettings, champion, challenger, folder, renamed, advance, answered
    ) -> CatalogueDiff:
        self.calls.append("catalogue")
        return CatalogueDiff(
            source=settings.source,
            rows_in_source=1,
            rows=1,
            failed=0,
            changed=0,
            changed_share_95=(0.0, 1.0),
            to_review=0,
            from_review=0,
        )

    def _report(self, folder, outcome) -> None:
        self.calls.append("report")
        (folder / "report.html").write_text(outcome.status)


def extended(earlier: Sequence[AssignedPhoto], rows: Sequence[tuple[str, str]]) -> list[AssignedPhoto]:
    there = {Path(image) for image, _ in rows}
    known = {photo.path for photo in earlier}
    new = [
        AssignedPhoto(Path(image), label, list(Split)[place % 3], _sha256(image), _sha256(image)[:16])
        for place, (image, label) in enumerate(rows)
        if Path(image) not in known
    ]
    return [*(replace(photo, present=photo.path in there) for photo in earlier), *new]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def train_on_paper(place: Path, photos: Sequence[AssignedPhoto]) -> None:
    run = Run(place)
    run.path.mkdir(parents=True)
    write_splits(run.splits, photos)
    run.write_args(PAPER_ARGS)
    finish_on_paper(run)


def finish_on_paper(run: Run) -> None:
    run.best.parent.mkdir(exist_ok=True)
    run.best.write_bytes(b"weights")
    run.write_args(run.args().model_copy(update={"state": RunState.COMPLETE}))
