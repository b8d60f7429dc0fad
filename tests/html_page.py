"""A page of HTML as a test reads it."""

import base64
import hashlib
import re
from html.parser import HTMLParser

from pages.render import table_script

EMPTY = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta"}
FORBIDDEN = {"script", "link", "iframe", "object", "embed", "base", "form", "video", "audio"}
LOADED = {"src", "srcset", "poster", "data", "background", "action", "xlink:href"}
NASTY = """</td></section></h3><script>alert("1")</script><img src=x onerror='alert(2)'>&amp; ${rows} {{ rows }}"""
"""What a label, a file name or a message may say."""


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += f" {data}"


def check_harmless(html: str) -> Page:
    ours = f"<script>{table_script()}</script>"
    if ours in html:
        digest = base64.b64encode(hashlib.sha256(table_script().encode()).digest()).decode()
        assert html.count(f"script-src 'sha256-{digest}'\">") == 1
    html = html.replace(ours, "", 1)
    page = Page(html)
    assert not [tag for tag, _ in page.elements if tag in FORBIDDEN]
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert all((attributes[name] or "").startswith("data:image/") for name in LOADED & set(attributes))
        assert tag == "a" or "href" not in attributes
        assert not re.match(r"\s*([a-z][a-z0-9+.-]*:|//)", attributes.get("href") or "", re.IGNORECASE)
        assert attributes.get("http-equiv") in {None, "Content-Security-Policy"}
    assert not re.findall(r"""url\(|@import""", html)
    assert "default-src 'none'" in html
    assert not re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]", html)
    return page
