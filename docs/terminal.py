"""Draw docs/images/terminal.svg from real commands: ``python docs/terminal.py PHOTOS NEW FOLDER``.

PHOTOS are labelled photos in class folders, NEW are photos to label. The commands run in FOLDER, which keeps their
output in files such as ``train.txt``; later runs reuse these files. The picture shows the output lines of the constant
SHOWN, and ``…`` for gaps. Lines appear one after the other, unless the reader's system asks for less motion.
"""

import os
import re
import subprocess
import sys
from html import escape
from pathlib import Path
from typing import Final

PICTURE: Final = Path(__file__).parent / "images" / "terminal.svg"
COLUMNS: Final = 92
LINE_PX, LETTER_PX, MARGIN_PX = 19, 8.45, 22
STEP_S: Final = 0.18
SMALL_GAP: Final = 3
"""The picture does not mark gaps of at most this many lines, such as table frames."""
SHOWN: Final = {
    "train": (
        r"^[\d,]+ photos,",
        r"^efficientnet_lite0 at",
        *("--precision", r"^│ +0\.9[0157] "),
        *(r"^out-of-fold accuracy", r"^test accuracy"),
    ),
    "export": (r"largest difference", r"^│ probabilities", r"^Bundle"),
    "label": (r"│ labeled", r"│ review", r"│ +not sure", r"│ +unlike", r"│ failed", r"^At least"),
    "review": (r"^Hangtag is at",),
}
"""Patterns of the output lines to show, by command."""
STYLE: Final = """
    .back { fill: #10151c } .bar { fill: #1c2430 } text { font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #d7dee7; white-space: pre }
    .command { fill: #7ee0a1; font-weight: 600 } .left { fill: #8b98a8 }
    @media (prefers-reduced-motion: no-preference) {
      g { opacity: 0; animation: come .01s linear forwards } @keyframes come { to { opacity: 1 } }
    }
"""  # noqa: E501


def main(photos: Path, new: Path, folder: Path) -> None:
    """Run the commands without a kept output, and draw."""
    folder.mkdir(exist_ok=True, parents=True)
    bundle = f"bundles/{photos.name}"
    lines: list[tuple[str, str]] = []
    for name, command, words in (
        (
            "train",
            f"hangtag train {photos.name}/ --preset quick",
            ["train", str(photos.absolute()), "--preset", "quick"],
        ),
        ("export", f"hangtag export runs/train/{photos.name}", ["export", f"runs/train/{photos.name}"]),
        (
            "label",
            f"hangtag label new/ --model {bundle} --out labels.parquet",
            ["label", str(new.absolute()), "--model", bundle, "--out", "labels.parquet"],
        ),
        ("review", "hangtag review labels.parquet", ["review", "labels.parquet"]),
    ):
        lines += [("command", f"$ {command}"), *select_lines(output_of(folder, name, words), SHOWN[name]), ("", "")]
    PICTURE.write_text(svg(lines[:-1]))


def output_of(folder: Path, name: str, words: list[str]) -> list[str]:
    """Return the command's output lines."""
    place = folder / f"{name}.txt"
    if not place.exists():
        command = [sys.executable, "-u", "-m", "hangtag", *words]
        env = {**os.environ, "BROWSER": "true", "COLUMNS": str(COLUMNS), "PYTHONPATH": str(Path(__file__).parents[1])}
        with subprocess.Popen(
            command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            first = process.stdout.readline() if process.stdout else ""
            if name == "review":
                process.terminate()
            text = first + process.communicate()[0]
        if process.returncode:
            sys.exit(f"Expected `hangtag {' '.join(words)}` to succeed, got status {process.returncode}.")
        place.write_text(text)
    return place.read_text().splitlines()


def select_lines(lines: list[str], patterns: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return matching lines as pairs of CSS class and text, with a mark for each larger gap."""
    selected: list[tuple[str, str]] = []
    last = None
    for at, line in enumerate(lines):
        if any(re.search(pattern, line) for pattern in patterns):
            text = re.sub("[┃│]", " ", line).rstrip()
            if last is not None and at > last + SMALL_GAP:
                selected.append(("left", "…"))
            selected.append(("", text if len(text) <= COLUMNS else f"{text[: COLUMNS - 1]}…"))
            last = at
    return selected


def svg(lines: list[tuple[str, str]]) -> str:
    """The picture as SVG; its lines appear one after the other."""
    width, height = COLUMNS * LETTER_PX + 2 * MARGIN_PX, len(lines) * LINE_PX + 2 * MARGIN_PX + 24
    shown = "\n".join(
        f'  <g style="animation-delay: {at * STEP_S:.2f}s"><text class="{kind}" x="{MARGIN_PX}" '
        f'y="{MARGIN_PX + 24 + (at + 0.75) * LINE_PX:.0f}" xml:space="preserve">{escape(text)}</text></g>'
        for at, (kind, text) in enumerate(lines)
        if text
    )
    dots = "".join(f'<circle cx="{20 + 18 * at}" cy="14" r="5" fill="#4b586a"/>' for at in range(3))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img"
  aria-labelledby="title">
  <title id="title">A terminal: hangtag train, export, label and review, with what they print</title>
  <style>{STYLE}  </style>
  <rect class="back" width="100%" height="100%" rx="8"/><rect class="bar" width="100%" height="28" rx="8"/>{dots}
{shown}
</svg>
"""


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
