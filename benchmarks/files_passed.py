"""Count the modules of Hangtag that one photo, one queued chunk and one retraining use.

    python benchmarks/files_passed.py BUNDLE PHOTO [--tree DIR] [--json]

``photo`` counts modules in which at least one function runs while ``hangtag label`` labels one photo on this disk, in
all processes and threads. Code that runs on import (class bodies, decorators, tables) does not count. A
``sitecustomize`` in a temporary folder switches on ``sys.setprofile`` in each process; Hangtag is unchanged.

``chunk`` and ``cycle`` count the module that runs a queued chunk or a retraining, and all modules that it imports,
directly or through others. Imports inside functions and for type checkers count, too. A package counts if its
``__init__.py`` has code.
"""

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("hangtag", "models", "catalogue", "trainer", "exporter", "worker", "pages")
CHUNK = "worker.queue.runner"
CYCLE = "trainer.retrain.cycle"
OPTIMIZED = 1
"""Flag of code objects that are functions; modules and class bodies lack it."""

NOTES = f"""
import os, sys, threading
_tree, _notes = os.environ["FILES_PASSED_TREE"], os.environ["FILES_PASSED_NOTES"]
_skipped, _seen = set(), set()

def _is_import(frame):
    while frame:
        if not frame.f_code.co_flags & {OPTIMIZED} and frame.f_globals.get("__name__") != "__main__":
            return True
        frame = frame.f_back
    return False

def _watch(frame, event, argument):
    code = frame.f_code
    if event != "call" or code in _skipped or code.co_filename in _seen:
        return
    if not code.co_flags & {OPTIMIZED} or not code.co_filename.startswith(_tree):
        _skipped.add(code)
    elif not _is_import(frame):
        _seen.add(code.co_filename)
        with open(os.path.join(_notes, str(os.getpid())), "a") as file:
            file.write(code.co_filename[len(_tree):] + "\\n")

threading.setprofile(_watch)
sys.setprofile(_watch)
"""


def main() -> None:
    """Print the three counts, or the modules with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--tree", type=Path, default=ROOT, help="another checkout of Hangtag. Default: this one.")
    parser.add_argument("--chunk", default=CHUNK, help="the module that runs a queued chunk")
    parser.add_argument("--cycle", default=CYCLE, help="the module that runs a retraining")
    parser.add_argument("--json", action="store_true", help="print the modules too")
    arguments = parser.parse_args()
    tree = arguments.tree.resolve()
    found = {
        "photo": passed_by_photo(tree, arguments.bundle.resolve(), arguments.photo.resolve()),
        "chunk": closure(tree, arguments.chunk),
        "cycle": closure(tree, arguments.cycle),
    }
    if arguments.json:
        print(json.dumps({name: {"files": len(modules), "modules": modules} for name, modules in found.items()}))
        return
    for name, modules in found.items():
        print(f"{name:6}{len(modules):5}")


def passed_by_photo(tree: Path, bundle: Path, photo: Path) -> list[str]:
    """Return the modules that run when ``hangtag label`` labels one photo."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "labels.csv")
        source = Path(folder, "one.txt")
        source.write_text(f"{photo}\n")
        command = ("hangtag", "label", source, "--model", bundle, "--out", output, "--workers", "1")
        passed = noted(tree, *map(str, command))
        if not output.exists():
            message = f"Expected labels in {output}, but hangtag label wrote none."
            raise RuntimeError(message)
        return passed


def noted(tree: Path, module: str, *words: str) -> list[str]:
    """Return the modules of a tree in which a function runs during ``python -m MODULE WORDS``."""
    with tempfile.TemporaryDirectory() as folder:
        site, notes = Path(folder, "site"), Path(folder, "notes")
        site.mkdir()
        notes.mkdir()
        (site / "sitecustomize.py").write_text(NOTES)
        named = {"FILES_PASSED_TREE": f"{tree}/", "FILES_PASSED_NOTES": str(notes)}
        environment = os.environ | named | {"PYTHONPATH": os.pathsep.join([str(site), str(tree)])}
        command = [sys.executable, "-P", "-m", module, *words]
        subprocess.run(command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, check=True)
        files = {line for note in notes.iterdir() for line in note.read_text().splitlines()}
    names = {_dotted(Path(file)) for file in files}
    return sorted(names & modules_of(tree).keys())


def modules_of(tree: Path) -> dict[str, Path]:
    """Return the file of each of Hangtag's modules by name."""
    files = [file for room in ROOMS for file in (tree / room).rglob("*.py")]
    return {_dotted(file.relative_to(tree)): file for file in files}


def _dotted(file: Path) -> str:
    return ".".join(file.with_suffix("").parts).removesuffix(".__init__")


def closure(tree: Path, module: str) -> list[str]:
    """Return a module and all modules that it imports, directly or through others; without packages that have no code.

    Raises:
        ValueError: the module does not exist.
    """
    modules = modules_of(tree)
    if module not in modules:
        message = f"Expected a module of {tree}, got {module}."
        raise ValueError(message)
    found, left = {module}, [module]
    while left:
        new = _imported(modules[left.pop()], modules) - found
        found |= new
        left += new
    return sorted(name for name in found if _has_code(modules[name]))


def _imported(file: Path, modules: dict[str, Path]) -> set[str]:
    names = set(_names(ast.parse(file.read_text())))
    packages = {name.rsplit(".", count)[0] for name in names for count in range(1, name.count(".") + 1)}
    return (names | packages) & modules.keys()


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _has_code(file: Path) -> bool:
    tree = ast.parse(file.read_text())
    return len(tree.body) > (ast.get_docstring(tree) is not None)


if __name__ == "__main__":
    main()
