from pathlib import Path

import pytest

from worker.queue.inbox.request import InboxRequest
from worker.request import JobOptions, SubmitRequest

from .watched_place import Watched


@pytest.fixture
def place(tmp_path: Path, bundle: Path) -> Watched:
    """An empty folder, watched for a lone model; photos of its catalogues lie elsewhere."""
    (tmp_path / "inbox").mkdir()
    (tmp_path / "photos").mkdir()
    each = SubmitRequest("", bundle / "model.onnx", JobOptions(), name="", image_root=tmp_path / "photos")
    return Watched(tmp_path, InboxRequest(tmp_path / "inbox", each))
