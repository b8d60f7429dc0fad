"""What the page of a cycle looks like, besides what is around every page and a training's."""

from typing import Final

__all__ = ["CYCLE_STYLE"]

CYCLE_STYLE: Final = """
h1.labeled::before, h1.failed::before, h1.review::before { display: inline-block; width: 1.05em; font-weight: 700 }
h1.labeled::before { content: "✓"; color: var(--labeled) }
h1.failed::before { content: "✗"; color: var(--failed) }
h1.review::before { content: "!"; color: var(--review) }
.said.failed { border-color: var(--failed) }
.said:empty { display: none }
.said p + p { color: inherit; margin-top: .35rem }
.checks { list-style: none; padding: 0; display: grid; gap: .1rem 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)) }
.checks li { display: flex; gap: .7rem; padding: .45rem 0; border-top: 1px solid var(--line) }
.checks i { font-style: normal; font-weight: 700; flex: none; width: 1.1rem; text-align: center }
.checks .labeled i { color: var(--labeled) }
.checks .failed i, .checks .failed b { color: var(--failed) }
.checks b { font-weight: 600 }
.checks b::first-letter { text-transform: uppercase }
.checks p { margin: 0; color: var(--faint); font-size: .92rem }
.checks .failed p { color: var(--ink) }
.recall td { vertical-align: middle }
.recall .n { width: 4.2rem }
.recall .n[data-name=recall], .recall th.n:nth-child(4) { width: 8.5rem }
.recall td:first-child { min-width: 6rem }
.recall .track-cell { width: 38%; padding: .25rem 1.5rem .25rem 1.25rem }
.recall + p, .recall + .more + p { margin-top: .75rem }
.scale { display: flex; justify-content: space-between; margin: 0 -.4rem }
.scale i { font-style: normal; font-size: .8rem }
.track { display: block; width: 100%; overflow: visible }
.track .rail { stroke: var(--line) }
.track .band { stroke: var(--bar); stroke-width: 9; opacity: .2; stroke-linecap: round }
.track .step { stroke-width: 3; stroke: var(--labeled) }
.track .step.down { stroke: var(--failed) }
.track .now { fill: var(--card); stroke: var(--faint); stroke-width: 2 }
.track .then { fill: var(--bar) }
.key .then, .key .now { border-radius: 50% }
.key .now { background: var(--card); border: 2px solid var(--faint) }
.up { color: var(--labeled) }
.down { color: var(--failed) }
.tile.labeled figcaption { border-top-color: var(--labeled) }
.tile.failed figcaption { border-top-color: var(--failed) }
.corrections td:first-child { width: 34% }
.corrections td { padding-top: .35rem; padding-bottom: .35rem }
.outcome.badge { font-weight: 600 }
.costs .n { width: 7.5rem }
.costs td:first-child { width: 14rem }
.costs td:last-child { padding-left: 1.25rem }
.steps .n { width: 8rem }
.steps .line { width: 45% }
.links { list-style: none; padding: 0 }
.links code { color: var(--faint); margin-left: .4rem }
@media (max-width: 40rem) {
  h1 { font-size: 1.3rem }
  .recall thead { display: none }
  .recall tr { display: grid; grid-template-columns: 1fr auto auto auto; gap: 0 .8rem; padding: .45rem 0;
    border-top: 1px solid var(--line) }
  .recall td, .recall .n, .recall .n[data-name=recall], .recall td:first-child { border: 0; padding: 0; width: auto }
  .recall td:first-child { grid-column: 1 / 3; font-weight: 600 }
  .recall td:nth-child(2) { grid-column: 3 / 5 }
  .recall .track-cell { grid-column: 1 / -1; padding: .15rem .4rem; width: auto }
  .recall .n { font-size: .85rem }
  .recall .n::after { content: " " attr(data-name); color: var(--faint) }
  .recall .n[data-name=recall] { text-align: left }
  .sizes td:first-child { min-width: 6.5rem }
  .corrections thead { display: none }
  .corrections tr { display: block; padding: .4rem 0; border-top: 1px solid var(--line) }
  .corrections td, .corrections td:first-child { display: inline; border: 0; padding: 0 .5rem 0 0; width: auto }
  .costs td:last-child, .costs th:last-child { display: none }
  .costs .n { width: auto }
  .steps .n { width: 7rem }
}
"""
