"""A headless Chromium, controlled over two pipes: no port, no driver, no package."""

import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--remote-debugging-pipe",  # commands come on descriptor 3, answers go to 4
    "--no-sandbox",  # the sandbox does not work for root in a container
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--window-size=1000,800",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
PATIENCE_S = 120.0
END = b"\0"


def chromium_binary() -> str | None:
    """The path of Chromium; None if it is not installed."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def open_chromium(profile: Path) -> Iterator["Chromium"]:
    """Open a browser with a new profile, and close it at the end of the block."""
    browser = Chromium(profile)
    try:
        yield browser
    finally:
        browser.close()


class Chromium:
    """A browser and its events.

    Attributes:
        events: DevTools events, in order.
    """

    def __init__(self, profile: Path) -> None:
        self.events: list[dict[str, Any]] = []
        theirs_in, self._commands = os.pipe()
        self._answers, theirs_out = os.pipe()
        self._pid = _start(profile, theirs_in, theirs_out)
        self._rest = b""
        self._asked = 0

    def tell(self, method: str, session: str | None = None, **params: object) -> dict[str, Any]:
        """Send a command of the DevTools protocol and wait for its result.

        Raises:
            RuntimeError: the browser refused it.
        """
        self._asked += 1
        command = {"id": self._asked, "method": method, "params": params, **({"sessionId": session} if session else {})}
        os.write(self._commands, json.dumps(command).encode() + END)
        while (said := self._next()).get("id") != self._asked:
            self.events.append(said)
        if "error" in said:
            msg = f"{method}: {said['error']}"
            raise RuntimeError(msg)
        return said["result"]

    def open_tab(self) -> "Tab":
        """Open an empty tab."""
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        return Tab(self, self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])

    def close(self) -> None:
        """Kill the browser with all its processes."""
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._commands)
        os.close(self._answers)

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_S
        while END not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self._answers, 1 << 20) if ready else b""
            if not data:
                msg = "Chromium ended." if ready else f"Chromium was silent for {PATIENCE_S:.0f} s."
                raise RuntimeError(msg)
            self._rest += data
        message, _, self._rest = self._rest.partition(END)
        return json.loads(message)


class Tab:
    """One page of a browser."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self._session = session
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.tell(f"{domain}.enable")

    def tell(self, method: str, **params: object) -> dict[str, Any]:
        """Send a command of the DevTools protocol to this page."""
        return self._browser.tell(method, self._session, **params)

    def run(self, script: str) -> str:
        """Evaluate a JavaScript expression, await a promise, and return the value as text.

        Raises:
            RuntimeError: the expression threw an error.
        """
        said = self.tell("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in said:
            raise RuntimeError(str(said["exceptionDetails"]))
        return str(said["result"].get("value"))

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript condition holds; check it after each change of the page."""
        self.run(f"""new Promise((done) => {{
            const look = () => ({condition}) && done(true);
            new MutationObserver(look).observe(document, {{ subtree: true, childList: true, attributes: true }});
            look();
        }})""")

    def open(self, url: str) -> None:
        """Open a URL and wait until it is loaded."""
        self.tell("Page.navigate", url=url)
        self.run("new Promise((done) => document.readyState === 'complete' ? done() : addEventListener('load', done))")

    def choose(self, selector: str, files: list[Path]) -> None:
        """Choose files in a file input, as a person does in the dialog."""
        root = self.tell("DOM.getDocument")["root"]["nodeId"]
        node = self.tell("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.tell("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def drop(self, selector: str, files: list[Path]) -> None:
        """Drag files to an element and drop them."""
        box = json.loads(self.run(f"JSON.stringify(document.querySelector({selector!r}).getBoundingClientRect())"))
        middle = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.tell("Input.dispatchDragEvent", type=kind, data=data, **middle)

    def requests(self) -> list[str]:
        """URLs that the page has requested."""
        return [event["params"]["request"]["url"] for event in self._events("Network.requestWillBeSent")]

    def complaints(self) -> list[str]:
        """Uncaught exceptions, and errors that the browser logged."""
        thrown = [str(event["params"]["exceptionDetails"]) for event in self._events("Runtime.exceptionThrown")]
        logged = [event["params"]["entry"] for event in self._events("Log.entryAdded")]
        return thrown + [str(entry) for entry in logged if entry["level"] == "error"]

    def _events(self, method: str) -> list[dict[str, Any]]:
        events = self._browser.events
        return [event for event in events if event.get("sessionId") == self._session and event["method"] == method]


def _start(profile: Path, theirs_in: int, theirs_out: int) -> int:
    binary = chromium_binary()
    if binary is None:
        msg = "chromium is not installed."
        raise FileNotFoundError(msg)
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (theirs_in, theirs_out)]
    silence = os.open(os.devnull, os.O_RDWR)
    moves = [
        (os.POSIX_SPAWN_DUP2, end, number) for end, number in ((silence, 1), (silence, 2), (high[0], 3), (high[1], 4))
    ]
    pid = os.posix_spawn(
        binary, [binary, *FLAGS, f"--user-data-dir={profile}"], os.environ, file_actions=moves, setpgroup=0
    )
    for end in (theirs_in, theirs_out, *high, silence):
        os.close(end)
    return pid
