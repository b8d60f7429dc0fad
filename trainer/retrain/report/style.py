"""What the page of a cycle looks like, besides what is around every page and a training's."""

from typing import Final

__all__ = ["CYCLE_STYLE", "STYLE"]

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

STYLE: Final = """
:root { --wrong: #d9690f }
@media screen and (prefers-color-scheme: dark) { :root { --wrong: #f0903c } }
a { color: var(--bar) }
h2 .faint, h3 .faint { font-weight: 400 }
section { scroll-margin-top: 1rem }
section:target { border-color: var(--bar) }
figure { margin: 0; min-width: 0 }
small { font-size: .8rem; color: var(--faint) }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: 1rem 0 0; font-size: .9rem }
nav a { text-decoration: none }
nav a:hover { text-decoration: underline }
.numbers .good b { color: var(--bar) }
.more { margin: .75rem 0 0 }
.said { margin: 0 0 .75rem; padding: .7rem 1.1rem; border-left: 4px solid var(--review); background: var(--card);
  border-radius: 0 .4rem .4rem 0 }
.said.labeled { border-color: var(--labeled) }
.said p { margin: 0 }
.promise p:first-child { font-size: 1.1rem; font-weight: 600 }
.said p + p { color: var(--faint) }
ul { margin: 0; padding-left: 1.2rem }
table { table-layout: auto }
table + p, .wide + p, .charts + p { margin-top: .75rem }
tbody th { border-top: 1px solid var(--line) }
.key { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; font-size: .9rem; color: var(--faint) }
.key i { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; margin-right: .4rem;
  vertical-align: -.08em; background: var(--bar) }
.key .train, .splits .train { background: color-mix(in srgb, var(--faint) 55%, var(--card)) }
.key .val, .splits .val { background: var(--bar) }
.key .test, .splits .test { background: var(--labeled) }
.key .labeled { background: var(--labeled) }
.key .review { background: var(--review) }
.key .wrong { background: var(--wrong) }
.key .best { border-radius: 50%; background: var(--labeled) }
.line { width: 40%; vertical-align: middle }
.line > span { display: block; height: .7rem; min-width: 2px; border-radius: 0 .2rem .2rem 0; background: var(--bar) }
.line > .wrong { background: var(--wrong) }
.sizes .line { width: 60% }
.pairs .line { width: 30% }
.splits { display: flex; height: .8rem; border-radius: 0 .2rem .2rem 0; overflow: hidden }
.splits span { flex: none; box-shadow: inset -1px 0 var(--card) }
.sizes td:first-child, .heat td:first-child { min-width: 5rem }
.aside td:first-child { white-space: nowrap }
.figures .rate { width: 20% }
.means .rate { width: 18% }
.rate b { font-weight: 500; font-variant-numeric: tabular-nums; margin-right: .5rem }
.rate small { white-space: nowrap; font-variant-numeric: tabular-nums }
.meter { position: relative; height: .4rem; margin: .15rem 0 .25rem; background: var(--line); border-radius: .2rem;
  min-width: 4.5rem }
.meter span { position: absolute; top: 0; bottom: 0; background: var(--bar); opacity: .45; border-radius: .2rem }
.meter i { position: absolute; top: -.12rem; bottom: -.12rem; width: 3px; margin-left: -1px; background: var(--bar);
  border-radius: 2px }
.targets td { vertical-align: middle; padding-top: .4rem; padding-bottom: .4rem }
.targets .line { width: auto; min-width: 8rem }
.targets td:first-child { width: 8rem }
.targets td:last-child:not(.n) { width: 40% }
.targets .n { width: 6rem }
.targets .ruling td { background: color-mix(in srgb, var(--bar) 9%, transparent) }
.targets td:first-child { padding-left: .5rem; white-space: nowrap }
.rules { font-size: .75rem; color: var(--card); background: var(--bar); border-radius: 1rem; padding: .1rem .5rem;
  margin-left: .3rem }
.missed { color: var(--failed) }
.heat td:not(:first-child) { --tint: var(--labeled); width: 13%; padding: .2rem .6rem;
  border-left: 1px solid var(--card); background: color-mix(in srgb, var(--tint) var(--depth), transparent) }
.heat td b { font-weight: 500 }
.heat small { display: block; line-height: 1.2; color: inherit; opacity: .8 }
.heat th.n { padding-right: .6rem }
.heat th.ruling { color: var(--bar); font-weight: 700 }
.deep { color: var(--card) }
.matrix { width: auto; font-size: .85rem; table-layout: fixed }
.matrix td { width: 2.35rem; height: 2.1rem; padding: 0; text-align: center; vertical-align: middle;
  border: 1px solid var(--card); border-radius: .3rem; font-variant-numeric: tabular-nums;
  background: color-mix(in srgb, var(--tint) var(--depth), color-mix(in srgb, var(--line) 35%, transparent)) }
.matrix.few td { width: 4.2rem; height: 3.2rem; font-size: 1rem }
.matrix .right { --tint: var(--bar) }
.matrix .wrong { --tint: var(--wrong) }
.matrix th { font-size: .82rem; border: 0 }
.matrix th[scope=row] { text-align: right; max-width: 8rem; padding: 0 .5rem 0 0; vertical-align: middle;
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap; width: 6.5rem }
.matrix th[scope=col] { vertical-align: bottom; padding: 0 0 .3rem }
.matrix th[scope=col] span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 8rem; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; margin: 0 auto; display: block; width: 2rem; line-height: 2rem }
.matrix .corner { vertical-align: bottom; text-align: right; white-space: nowrap; padding: 0 .5rem .3rem 0;
  width: 6.5rem }
.pair { row-gap: 1.25rem }
figure > figcaption { font-size: .9rem; margin-bottom: .35rem }
.dots { width: 100%; max-width: 34rem; aspect-ratio: 1; image-rendering: pixelated; border: 1px solid var(--line) }
.wide .chart { max-width: 42rem }
.chart { display: block; width: 100%; height: auto }
.chart text { fill: var(--faint); font-size: 12px }
.chart line { stroke: var(--line) }
.chart .floor { stroke: var(--faint) }
.chart polyline { fill: none; stroke: var(--bar); stroke-width: 2; stroke-linejoin: round }
.chart polyline.train { stroke: var(--faint) }
.chart polyline.ideal { stroke: var(--faint); stroke-width: 1; stroke-dasharray: 4 4 }
.chart polyline.gap { stroke: var(--review); stroke-width: 2; opacity: .7 }
.chart polyline.limit { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 4 3 }
.chart polygon { fill: var(--bar); opacity: .14 }
.chart circle { fill: var(--bar) }
.chart circle.train { fill: var(--faint) }
.chart circle.best { fill: var(--labeled); stroke: var(--card); stroke-width: 2; r: 5.5px }
.chart rect.labeled { fill: var(--labeled) }
.chart rect.review { fill: var(--review) }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1rem 1.5rem }
.charts.two { grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 25rem)) }
.small { display: grid; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)); gap: 1rem 1.25rem }
.small figcaption { line-height: 1.3 }
.small figcaption b, .small figcaption span { display: block; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap }
.small figcaption b { font-weight: 600 }
.tiles.twos { grid-template-columns: repeat(auto-fill, minmax(min(100%, 15.5rem), 1fr)) }
.tile .pictures { display: flex }
.tile .pictures img { flex: 1; min-width: 0; object-fit: cover }
.tile figcaption, .tile.failed figcaption, .tile.review figcaption { border-left: 0; border-top: 3px solid var(--wrong);
  margin: 0 }
.tile.failed { border-color: var(--line); background: none }
.tile.review figcaption { border-color: var(--review) }
.tile span, .tile.review span, .tile.failed span { color: var(--faint) }
@media (min-width: 40.01rem) { .n + td:not(.n), .n + th:not(.n) { padding-left: 1.25rem } }
@media (max-width: 40rem) {
  .small { grid-template-columns: 1fr 1fr }
  .matrix { font-size: .72rem }
  .matrix td { width: 1.62rem; height: 1.62rem }
  .matrix th[scope=row], .matrix .corner { width: 4.2rem; font-size: .72rem }
  .matrix th[scope=col] span { width: 1.4rem; line-height: 1.4rem; font-size: .72rem }
  .figures thead { display: none }
  .figures tr { display: grid; grid-template-columns: repeat(3, 1fr); gap: .4rem .75rem; padding: .5rem 0;
    border-top: 1px solid var(--line) }
  .figures td, .figures .rate, .figures td:first-child { border: 0; padding: 0; width: auto; text-align: left }
  .figures td:first-child { grid-column: 1 / 3; font-weight: 600 }
  .figures .rate small { display: block; margin: 0 }
  .figures td[data-name]::before { content: attr(data-name) " "; color: var(--faint); font-size: .8rem }
  .figures .rate::before { display: block }
  .means .rate:nth-child(3), .means .rate:nth-child(4) { grid-row: 2 }
  .pairs .line { display: none }
  .targets thead { display: none }
  .targets tr { display: grid; grid-template-columns: 1fr auto auto; column-gap: .9rem; padding: .4rem .5rem;
    border-top: 1px solid var(--line) }
  .targets .ruling { background: color-mix(in srgb, var(--bar) 9%, transparent) }
  .targets td, .targets .n, .targets .ruling td, .targets td:first-child, .targets td:last-child:not(.n) { border: 0;
    padding: 0; background: none; width: auto }
  .targets .n::after { content: " " attr(data-name); color: var(--faint); font-size: .8rem }
  .targets .line, .targets td:last-child:not(.n) { grid-column: 1 / -1; order: 1; font-size: .9rem }
  .targets .line, .targets .ruling .line { padding: .3rem 0 }
  .heat td:not(:first-child), .heat th.n { padding: .2rem .3rem }
  .heat td b { white-space: nowrap; font-size: .9rem }
  .heat small { overflow-wrap: normal }
  .heat small { font-size: .68rem }
  .sizes .line { width: 40% }
  .wide .chart text { font-size: 16px }
}
@media print { .small { grid-template-columns: repeat(5, 1fr) } .tiles.twos { grid-template-columns: repeat(3, 1fr) } }
"""
