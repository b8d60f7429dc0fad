"""Compare the labels of the examples and of Hangtag, with photos decoded at full size.

    python benchmarks/examples.py PHOTOS BUNDLE [--count 50] [--page PICTURE.png]

The first ``--count`` photos of the folder are compared, in the order of their SHA-256. Prints for each example the
number of labels equal to Hangtag's, the largest difference of a confidence, and each photo with a different label. Exit
status 1 if a label differs.
"""

import argparse
import base64
import hashlib
import sys
import tempfile
from pathlib import Path

from example_runs.page import build, open_page
from example_runs.programs import Said, hangtag_says, install, node_says, python_says
from material import photo_list

from models.classifier import load


def main() -> None:
    """Label with each example, compare, and print."""
    arguments = _arguments()
    photos = _first_by_digest(arguments.photos, arguments.count)
    edge = (arguments.bundle / "edge.onnx").resolve()
    expected = hangtag_says(load(arguments.bundle), photos)
    with tempfile.TemporaryDirectory() as scratch:
        said = {
            "python": python_says(edge, photos),
            "node": node_says(install("node", Path(scratch)), edge, photos),
            "browser": _browser_says(arguments.bundle, photos, Path(scratch), arguments.page),
        }
    equal = [_report(name, photos, expected, answers) for name, answers in said.items()]
    sys.exit(0 if all(equal) else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--page", type=Path, help="file for a picture of the page")
    return parser.parse_args()


def _first_by_digest(folder: Path, count: int) -> list[Path]:
    photos = [Path(name) for name in photo_list(folder)]
    return sorted(photos, key=lambda photo: hashlib.sha256(photo.read_bytes()).digest())[:count]


def _browser_says(bundle: Path, photos: list[Path], scratch: Path, picture: Path | None) -> list[Said]:
    place = build(install("browser", scratch), bundle)
    with open_page(place, scratch / "profile") as page:
        said = page.says(photos)
        if picture:
            picture.write_bytes(base64.b64decode(page.tab.tell("Page.captureScreenshot")["data"]))
    return said


def _report(name: str, photos: list[Path], expected: list[Said], answers: list[Said]) -> bool:
    pairs = list(zip(expected, answers, strict=True))
    same = sum(ours.label == theirs.label for ours, theirs in pairs)
    apart = max(abs(ours.confidence - theirs.confidence) for ours, theirs in pairs)
    print(f"{name:<8} {same} of {len(pairs)} labels equal; confidences at most {apart:.4f} apart")
    for photo, (ours, theirs) in zip(photos, pairs, strict=True):
        if ours.label != theirs.label:
            print(f"  {photo.name}: Hangtag {ours.label} {ours.confidence:.3f}, {theirs.label} {theirs.confidence:.3f}")
    return same == len(pairs)


if __name__ == "__main__":
    main()
