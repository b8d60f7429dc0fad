"""What is around a page: its head, its style and its heading. Nothing in it asks for another file."""

from string import Template
from typing import Final

__all__ = ["framed"]

_PAGE: Final = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>Hangtag: $title</title>
<style>
:root { --ink: #1f2328; --faint: #59636e; --paper: #f5f6f8; --card: #fff; --line: #dce1e7; --bar: #3b6fd4;
  --labeled: #2b8a3e; --review: #b35c00; --failed: #c92a2a; --failed-card: #fff3f3 }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --faint: #9aa4af; --paper: #14171b;
  --card: #1d2127; --line: #353b43; --bar: #6f9df0; --labeled: #57b96b; --review: #f0a040; --failed: #f47272;
  --failed-card: #33201f } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 82rem; padding: 1.75rem 1.25rem 3rem; overflow-wrap: anywhere }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .4rem }
h2 { font-size: 1.05rem; margin: 0 0 .75rem }
h3 { font-size: .95rem; margin: 1.25rem 0 .25rem }
p { margin: 0 0 .5rem }
.faint, dt, th, .numbers span { color: var(--faint) }
.badge { color: var(--review); font-weight: 600 }
section, .numbers > div { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: 1.1rem 1.25rem; min-width: 0 }
section { margin-top: 1rem }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); column-gap: 1rem }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem;
  margin: 1.25rem 0 .75rem }
.numbers > div { padding: .7rem 1rem }
.numbers b { display: block; font-size: 1.6rem; line-height: 1.3; font-variant-numeric: tabular-nums }
.numbers span { display: block; font-size: .85rem }
.numbers .labeled b { color: var(--labeled) }
.numbers .review b { color: var(--review) }
.numbers .failed b { color: var(--failed) }
.stack { display: flex; height: .8rem; gap: 2px; border-radius: .4rem; overflow: hidden }
.stack span { flex-basis: 0; min-width: 4px }
.stack .labeled { background: var(--labeled) }
.stack .review { background: var(--review) }
.stack .failed { background: var(--failed) }
table { border-collapse: collapse; width: 100%; table-layout: fixed }
th { font-weight: 500; font-size: .85rem; text-align: left }
td, th { padding: .25rem .75rem .25rem 0; vertical-align: top; unicode-bidi: isolate }
td { border-top: 1px solid var(--line) }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.counts .n { width: 6.5rem }
.counts .n + .n { width: 4.5rem }
.counts .line { width: 38%; padding-right: 0; vertical-align: middle }
.counts .line span { display: block; height: .7rem; min-width: 2px; background: var(--bar);
  border-radius: 0 .2rem .2rem 0 }
.examples .n { width: 5.5rem; text-align: left }
.examples .image { width: 32% }
code { font: .92em ui-monospace, monospace }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .3rem 1.25rem; margin: 0 }
dd { margin: 0; min-width: 0; unicode-bidi: isolate }
.histogram { display: block; width: 100%; height: auto; max-width: 44rem }
.histogram text { fill: var(--faint); font-size: 12.5px }
.histogram line { stroke: var(--line) }
.histogram .axis line { stroke: var(--faint) }
.histogram rect { fill: var(--bar) }
.histogram .usual { fill: none; stroke: var(--ink); stroke-width: 1.6; stroke-dasharray: 5 3 }
.shares td:first-child { width: 50% }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .75rem }
.tile { display: flex; flex-direction: column; margin: 0; border: 1px solid var(--line); border-radius: .4rem;
  overflow: hidden; break-inside: avoid }
.tile img, .nothing { display: block; width: 100%; aspect-ratio: 1; background: #fff }
.nothing { display: flex; align-items: center; justify-content: center; color: var(--faint);
  background: repeating-linear-gradient(45deg, transparent 0 9px, var(--line) 9px 10px) }
.tile figcaption { flex: 1; padding: .35rem .55rem .45rem; border-left: 4px solid var(--labeled); line-height: 1.35 }
.tile b, .tile span { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden }
.tile b { font-weight: 600 }
.tile span { font-size: .82rem; color: var(--labeled) }
.tile.review figcaption { border-color: var(--review) }
.tile.review span { color: var(--review) }
.tile.failed { border-color: var(--failed); background: var(--failed-card) }
.tile.failed figcaption { border-color: var(--failed) }
.tile.failed span { color: var(--failed) }
.wide { overflow-x: auto }
.wide img { display: block; max-width: 100%; background: #fff }
@media (max-width: 40rem) {
  body { padding: 1.25rem .75rem 2rem }
  section { padding: .9rem }
  .numbers { grid-template-columns: 1fr 1fr }
  .counts .line { width: 22% }
  .examples thead { display: none }
  .examples tr { display: block; border-top: 1px solid var(--line); padding: .4rem 0 }
  .examples td { display: block; border: 0; padding: 0; width: auto }
  .examples .n, .examples .image { width: auto }
  .examples .n::before { content: "row " }
  dl { grid-template-columns: 1fr; gap: 0 }
  dd { margin-bottom: .5rem }
  .tiles { grid-template-columns: repeat(auto-fill, minmax(6.5rem, 1fr)) }
  .tile figcaption { font-size: .82rem; padding: .3rem .4rem }
  .tile span { font-size: .75rem }
  .histogram text { font-size: 15.5px }
  .wide img { max-width: 48rem }
}
@media print {
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact }
  :root { color-scheme: light }
  body { background: #fff; font-size: 10.5pt; max-width: none; padding: 0 }
  section, tr { break-inside: avoid }
  section.long { break-inside: auto }
  h2, h3 { break-after: avoid }
  .wide img { max-width: 100% }
  .tiles { grid-template-columns: repeat(6, 1fr); gap: .5rem }
}
$style</style></head>
<body>
$body
</body></html>
""")


def framed(title: str, body: str, style: str = "") -> str:
    """A whole page.

    Args:
        title: HTML, without elements.
        body: HTML.
        style: CSS besides that of every page.
    """
    return _PAGE.substitute(title=title, body=body, style=style)
