"""How ``verify`` looks on a terminal."""

import json
from pathlib import Path
from typing import Final

from rich.markup import escape
from rich.table import Table

from models.errors import ExitCode
from models.terminal import Console
from models.verification import Verification
from models.verify import verify

__all__ = ["verify_and_show"]

_MARKS: Final = {True: "[green]✓[/green]", False: "[red]✗[/red]", None: "[yellow]–[/yellow]"}


def verify_and_show(path: Path, *, as_json: bool) -> ExitCode:
    """Verify with a spinner on stderr, then show what was found on stdout, as a table or as JSON."""
    with Console(stderr=True).status("Verifying") as status:
        found = verify(path, lambda what: status.update(f"Verifying {escape(what)}"))
    if as_json:
        print(json.dumps(found.as_json(), indent=1))
    else:
        _show(found, Console())
    return ExitCode.OK if found.sound else ExitCode.BUNDLE_REFUSED


def _show(found: Verification, console: Console) -> None:
    table = Table(title=escape(found.model or str(found.path)), title_justify="left")
    for heading in ("", "check", "of", "found"):
        table.add_column(heading, overflow="fold")
    for check in found.checks:
        said = "wrong, see below" if check.sound is False else check.detail
        table.add_row(_MARKS[check.sound], check.aspect, escape(check.subject), escape(said))
    console.print(table)
    for fault in found.faults:
        console.print(
            f"{_MARKS[False]} {escape(fault.subject)}: {escape(fault.detail)}", highlight=False, soft_wrap=True
        )
    if found.unlisted:
        names = escape(", ".join(found.unlisted))
        console.print(f"Not in the manifest, so that nothing is known of them: {names}", style="yellow")
    console.print(_verdict(found), highlight=False, soft_wrap=True)
    if found.sound:
        console.print(f"SHA-256 {found.digest}", highlight=False, soft_wrap=True)
        console.print("Compare it with what the export printed: nothing else vouches for the manifest.", style="dim")


def _verdict(found: Verification) -> str:
    place = escape(str(found.path))
    if found.sound:
        return f"[green]✓[/green] {place} is sound on this machine."
    count = len(found.faults)
    return f"[red]✗[/red] {place} is refused: {count} fault{'s' if count > 1 else ''}."
