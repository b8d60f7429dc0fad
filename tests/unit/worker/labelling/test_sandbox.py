import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import ImageError, ImageFault
from models.preprocess import PreprocessSpec, preprocess
from worker.labelling.chunk import decode_in_sandbox

SPEC = PreprocessSpec(size=32)
PLUGINS = Path(__file__).parents[3] / "plugins"


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((90, 40)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_good_photo_gives_the_same_pixels_as_without_and_an_unreadable_one_keeps_its_fault() -> None:
    assert np.array_equal(decode_in_sandbox(jpeg(), SPEC, 10.0), preprocess(jpeg(), SPEC))
    with pytest.raises(ImageError) as refusal:
        decode_in_sandbox(b"not an image", SPEC, 10.0)
    assert refusal.value.fault is ImageFault.UNREADABLE


@pytest.mark.parametrize(
    ("data", "fault"), [(b"BOOM", ImageFault.CRASHED), (b"HANG", ImageFault.TIMEOUT), (b"QUIT", ImageFault.CRASHED)]
)
def test_a_photo_that_kills_or_hangs_its_process_has_a_fault(monkeypatch, data, fault) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    with pytest.raises(ImageError) as refusal:
        decode_in_sandbox(data, SPEC, 0.5)
    assert refusal.value.fault is fault
