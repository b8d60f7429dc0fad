"""``benchmarks/files_passed.py`` counts what runs and what can be imported, on a drawn package."""

from pathlib import Path

import pytest

from benchmarks.files_passed import closure, noted

FILES = {
    "worker/__init__.py": '"""Only a docstring."""\n',
    "worker/way.py": (
        "import subprocess, sys, threading\n"
        "from worker.table import TABLE\n"
        "from worker.unused import nothing\n"
        "def main():\n"
        "    from worker.late import late\n"
        "    thread = threading.Thread(target=late); thread.start(); thread.join()\n"
        "    subprocess.run([sys.executable, '-P', '-m', 'worker.child'], check=True)\n"
        "if __name__ == '__main__':\n"
        "    main()\n"
    ),
    "worker/table.py": "def made():\n    return 1\nclass Kind:\n    one = made()\nTABLE = [made() for _ in range(3)]\n",
    "worker/unused.py": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from models.typed import T\ndef nothing(): ...\n"
    ),
    "worker/late.py": "from models import code\ndef late():\n    code()\n",
    "worker/child.py": "import os\ndef end():\n    os._exit(0)\nend()\n",
    "worker/alone.py": "import worker.way\n",
    "models/__init__.py": "def code(): ...\n",
    "models/typed.py": "T = int\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_what_runs_counts_in_threads_and_children_too_and_what_an_import_runs_does_not(tree: Path) -> None:
    assert noted(tree, "worker.way") == ["models", "worker.child", "worker.late", "worker.way"]


def test_a_closure_has_late_and_typed_imports_and_no_package_without_code(tree: Path) -> None:
    way = ["models", "models.typed", "worker.late", "worker.table", "worker.unused", "worker.way"]
    assert closure(tree, "worker.way") == way
    with pytest.raises(ValueError, match=r"worker\.gone"):
        closure(tree, "worker.gone")
