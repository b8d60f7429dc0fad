from dataclasses import dataclass, field
from pathlib import Path

import pytest

from models.preprocess import PreprocessSpec
from trainer.arch import Arch
from trainer.request import TrainRequest
from trainer.train import TrainResult, train

PLUGINS = Path(__file__).parents[2] / "plugins"


@pytest.fixture
def misbehaving_plugin(monkeypatch):
    """Processes started from now on know two made-up formats: BOOM ends in SIGSEGV, HANG never ends."""
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))


class Killed(BaseException):
    """Ends a training at once, as a kill does: nothing gets to tidy up."""


@dataclass
class Diary:
    """A training view that writes down what it is told; it may end the training after an epoch."""

    kill_after: int | None = None
    advanced: list = field(default_factory=list)
    prepared_as: list = field(default_factory=list)
    steps: list = field(default_factory=list)
    epochs: list = field(default_factory=list)

    def advance(self, what, done, total):
        self.advanced.append((what, done, total))

    def prepared(self, prepared, args):
        self.prepared_as.append((prepared, args))

    def step(self, done, total):
        self.steps.append((done, total))

    def epoch(self, figures, epochs):
        self.epochs.append(figures)
        if figures.epoch == self.kill_after:
            raise Killed


@pytest.fixture
def diary():
    return Diary()


@pytest.fixture
def killed():
    return Killed


@dataclass(frozen=True)
class Trained:
    """A training that is over."""

    request: TrainRequest
    result: TrainResult
    diary: Diary

    @property
    def path(self):
        return self.request.run


@pytest.fixture(scope="session")
def trained(tmp_path_factory, catalogue, session_cache):
    """A small network, trained for three epochs on the drawn catalogue; not to be changed."""
    request = TrainRequest(
        data=catalogue,
        run=tmp_path_factory.mktemp("trained") / "small",
        arch=Arch.CNN,
        preprocess=PreprocessSpec(size=32),
        epochs=3,
        batch=16,
        patience=3,
        seed=1,
        cache=session_cache,
    )
    diary = Diary()
    return Trained(request, train(request, diary), diary)
