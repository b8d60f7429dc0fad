"""What the page of a check looks like, besides what is around every page."""

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
a { color: var(--bar) }
h2 .faint { font-weight: 400 }
section:target { border-color: var(--bar) }
.more { margin: .75rem 0 0 }
.said { margin: 0 0 .75rem; padding: .6rem 1rem; border-left: 4px solid var(--review); background: var(--card) }
.said.failed { border-color: var(--failed) }
.said.labeled { border-color: var(--labeled) }
.said p { margin: 0 }
table + p { margin-top: .75rem }
.tiles + table { margin-top: 1rem }
.issues td:first-child, .issues th:first-child { width: 10rem }
.issues .n { width: 4.5rem }
.issues .line { width: 16%; padding: 0 1.25rem 0 1rem; vertical-align: middle }
.line span { display: block; height: .7rem; min-width: 2px; background: var(--bar); border-radius: 0 .2rem .2rem 0 }
.guesses .n { width: 6rem }
.guesses .line { width: 24%; padding: 0 1.25rem 0 1rem; vertical-align: middle }
.guesses .shortcut td:first-child, .guesses .shortcut .faint { color: var(--review); font-weight: 600 }
.guesses .shortcut .line span { background: var(--review) }
.meter { position: relative; background: var(--line); border-radius: .2rem }
.meter i { position: absolute; top: -.2rem; bottom: -.2rem; width: 2px; background: var(--ink) }
.classes { table-layout: auto }
.classes td:first-child { min-width: 7rem }
.classes th { white-space: nowrap }
.classes td:last-child, .classes th:last-child { padding-left: 1.25rem; width: 34% }
.classes td:last-child:not(:empty) { min-width: 10rem }
.tile figcaption { border-left: 0; border-top: 1px solid var(--line) }
.tile span { color: var(--faint) }
.couples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: 1rem }
.couple { display: flex; flex-direction: column; margin: 0; break-inside: avoid }
.couple > figcaption { font-size: .9rem; margin-bottom: .25rem }
.couple > div { flex: 1; display: grid; grid-template-columns: 1fr 1fr; gap: .4rem }
@media (max-width: 40rem) {
  .issues .line, .issues .meaning { display: none }
  .issues td:first-child, .issues th:first-child { width: auto }
  .guesses .line { display: none }
  .guesses .n { width: 3.2rem }
  .guesses .n + .n { width: 5.5rem }
}
@media print { .couples { grid-template-columns: repeat(3, 1fr) } }
"""
