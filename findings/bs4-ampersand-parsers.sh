#!/usr/bin/env bash
# Version:  beautifulsoup4 4.15.0 with Python 3.11's html.parser, lxml 6.1.3 or html5lib 1.1.
# Expected: "&GTX" is no entity and has no semicolon: it stays, or at least one parser reads a product's
#           name alike wherever a page has it, in its heading and in its og:title.
# Seen:     HTML knows 106 names that need no semicolon, &GT among them, in capitals too; in a text they
#           end wherever they end, in an attribute only before what is no letter, digit or =. So lxml and
#           html5lib read the heading as "Zotac >X 1080" and the attribute as "Zotac &GTX 1080".
#           html.parser, bs4's own default where nothing else is installed, does the opposite: the heading
#           stays, the attribute, which the standard leaves alone, becomes "Zotac >X 1080".
#           `html.unescape`, made for texts, breaks either.
# Matters:  "RTX 3080 &GTX 1080", as sellers write, loses its line word or not by the tag that it was read
#           from and by whether lxml happens to be installed; ">X 1080" names a card of another kind or none.
# Public:   https://html.spec.whatwg.org/multipage/parsing.html#named-character-reference-state tells of
#           attributes; that bs4's parsers differ in it is told nowhere that was found.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'beautifulsoup4==4.15.0' 'lxml==6.1.3' 'html5lib==1.1'
"$folder/venv/bin/python" - <<'PY'
import html
import sys

from bs4 import BeautifulSoup

NAME = "Zotac &GTX 1080"
PAGE = f'<html><head><meta property="og:title" content="{NAME}"></head><body><h1>{NAME}</h1></body></html>'

found = {}
for parser in ("html.parser", "lxml", "html5lib"):
    soup = BeautifulSoup(PAGE, parser)
    found[parser] = (soup.h1.text, soup.meta["content"])
    print(f"{parser:12} heading {found[parser][0]!r}, og:title {found[parser][1]!r}")
found["html.unescape"] = (html.unescape(NAME),)
print("html.unescape", repr(html.unescape(NAME)))

broken = "Zotac >X 1080"
expected = {
    "html.parser": (NAME, broken),
    "lxml": (broken, NAME),
    "html5lib": (broken, NAME),
    "html.unescape": (broken,),
}
if found != expected:
    sys.exit("bs4 or a parser behaves otherwise now: read findings/README.md again")
PY
