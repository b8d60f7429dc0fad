"""Kill a cycle at each of its writes, let it continue, and inspect the result. Run with a folder and a stride.

SIGKILL ends a forked child when it is about to write, rename, link or remove the n-th file under the folder. Then the
same cycle runs to its end. This repeats for n = 1, 2, … until a child ends by itself. Prints a line of JSON a kill.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from models.bundle import open_bundle
from models.registry.history import CHAMPION, What
from tests.paper_cycle import PaperShop, photo_rows

_CHANGES = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir"}


def kill_at(number: int, root: Path) -> None:
    left = number

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if _changes(event, arguments) and str(arguments[0]).startswith(str(root)):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def _changes(event: str, arguments: tuple[object, ...]) -> bool:
    if event == "open":
        flags = arguments[2]
        return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in _CHANGES


def was_killed(work: Callable[[], object]) -> bool:
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
        return False
    assert os.WIFSIGNALED(status), f"The child left with {status}."
    return True


def look(shop: PaperShop) -> dict[str, object]:
    state = shop.registry.state("shop")
    for version in {*state.versions, *state.aliases.values()}:
        open_bundle(shop.registry.path("shop", version))
    return {"versions": sorted(state.versions), "champion": state.aliases[CHAMPION]}


def main(root: Path, stride: int, *, passes: bool) -> None:
    pristine = PaperShop(root / "pristine")
    pristine.put(photo_rows(0, 6))
    pristine.publish_champion()
    pristine.put(photo_rows(0, 9))
    number, killed = 1, True
    while killed:
        shop = PaperShop(root / f"{number:04d}", passes=passes)
        shutil.copytree(pristine.root, shop.root)

        def work(shop: PaperShop = shop, number: int = number) -> None:
            kill_at(number, shop.root)
            shop.run()

        killed = was_killed(work)
        between = look(shop)
        again = shop.run()
        found = {
            "at": number,
            "killed": killed,
            "between": between,
            "after": look(shop),
            "again": again.status,
            "events": [event.what for event in shop.registry.history("shop").events() if event.what in What],
            "cycles": {path.name: json.loads((path / "outcome.json").read_text())["status"] for path in folders(shop)},
            "left": sorted(path.name for path in shop.config.folder.iterdir() if path.name.startswith(".")),
        }
        print(json.dumps(found), flush=True)
        shutil.rmtree(shop.root)
        number += stride


def folders(shop: PaperShop) -> list[Path]:
    return sorted(shop.config.folder.glob("[0-9]*"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), passes=sys.argv[3] == "promoted")
