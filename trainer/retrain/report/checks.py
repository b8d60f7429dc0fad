"""What the gate looked at."""

from pages.text import isolated, visible
from trainer.retrain.records import Check
from trainer.retrain.report.material import CycleMaterial
from worker.page.sections import section

__all__ = ["checks_section"]


def checks_section(material: CycleMaterial) -> str:
    """A line a check: those that failed, those that a person should look at, the others."""
    verdict = material.verdict
    if verdict is None:
        return ""
    failed = sum(not check.passed for check in verdict.checks)
    count = f"{failed:,} of {len(verdict.checks):,} failed" if failed else f"all {len(verdict.checks):,} passed"
    doubtful = sum(check.passed and check.doubtful for check in verdict.checks)
    count += f", {doubtful:,} to look at" if doubtful else ""
    order = sorted(verdict.checks, key=lambda check: (check.passed, not check.doubtful))
    forced = '<p class="badge">A person overruled it.</p>' if material.outcome.forced else ""
    lines = f'<ul class="checks">{"".join(map(_line, order))}</ul>'
    return section(f'Gate <span class="faint">· {count}</span>', forced + lines, "", "gate")


def _line(check: Check) -> str:
    kind, mark, word = ("labeled", "✓", "passed") if check.passed else ("failed", "✗", "failed")
    if check.passed and check.doubtful:
        kind, mark, word = "review", "!", "passed, but look at it"
    name = visible(check.name.replace("_", " "))
    return (
        f'<li class="{kind}"><i role="img" aria-label="{word}">{mark}</i>'
        f"<div><b>{name}</b><p>{isolated(check.sentence, 600)}</p></div></li>"
    )
