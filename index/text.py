"""Normalise listing titles and split them into runs of letters and digits.

Everything that reads a title (embedder, lexicon, features) starts here, so that training and
serving see the same characters.
"""

from __future__ import annotations

import html
import itertools
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from rerank.index.records import GpuRecord, Listing

# Real titles end at 80-250 characters; what follows in longer ones is keyword stuffing, and an
# unbounded title would let one bad row cost as much as a thousand good ones.
MAX_TITLE_CHARS = 400
# A description says what is sold at its start; then come the shop's terms and its other goods.
MAX_DESCRIPTION_CHARS = 300
_EMBEDDED_DESCRIPTION = 120

_TAG = re.compile(
    r"</?(?:a|b|br|center|div|em|font|h\d|hr|i|img|li|ol|p|s|small|span|strong|sub|sup|table|td|tr"
    r"|u|ul)(?:\s[^<>]{0,200})?/?>",
    re.IGNORECASE,
)
# Latin words with their accents (but no division sign), digits, words of another script:
# "显卡RTX3080" is three runs.
_LATIN = r"a-z\u00df-\u00f6\u00f8-\u024f"
_RUN = re.compile(rf"[{_LATIN}]+|\d+|[^\W\d_{_LATIN}]+")
_MARKS = re.compile(r"[™®©\u200b-\u200f\u2060\ufeff\u00ad]")
# Core words that partners glue into their codes: GV-RXVEGA64, GTXTITANX, GV-R9FURYX.
_GLUED_CORE = re.compile(r"titan(?!ium)|vega(?!s)|fury")
# "GTX1O7O", "RX 58O": the letter O for a zero, written past a shop's word filter.
_LETTER_O_IN_NUMBER = re.compile(
    r"(?<!\d)\d{1,2}(?:o\d{1,2})+o?(?!\d)"
    r"|(?<=[xts ])[1-9]\do(?![a-z\d])|(?<=[xts ])[1-9]\d{2}o(?![a-z\d])"
)
_O_BEHIND_DIGIT = re.compile(r"\do")  # in all of these, and in few titles
_WORD_WITH_CYRILLIC = re.compile(r"\w*[\u0400-\u04ff]\w*")

# Cyrillic letters that look like Latin ones: sellers mix keyboards inside one word (GТХ, ХТ).
_HOMOGLYPHS = str.maketrans("авекмнорстухіј", "abekmhopctyxij")
_CYRILLIC_NAMES = {
    "джифорс": "geforce",
    "жифорс": "geforce",
    "гефорс": "geforce",
    "жифорсе": "geforce",
    "радеон": "radeon",
    "радион": "radeon",
    "квадро": "quadro",
    "тесла": "tesla",
    "титан": "titan",
    "нвидиа": "nvidia",
    "нвидия": "nvidia",
    "амд": "amd",
    "интел": "intel",
    "гтх": "gtx",
    "жтх": "gtx",
    "джтх": "gtx",
    "гтс": "gts",
    "гт": "gt",
    "жт": "gt",
    "ртх": "rtx",
    "ртикс": "rtx",
    "рх": "rx",
    "рикс": "rx",
    "хт": "xt",
    "хтх": "xtx",
    "ти": "ti",
    "тай": "ti",
    "супер": "super",
    "вега": "vega",
    "фури": "fury",
    "арк": "arc",
    "гб": "gb",
    "гиг": "gb",
    "гига": "gb",
    "гигов": "gb",
    "мб": "mb",
    "асус": "asus",
    "гигабайт": "gigabyte",
    "палит": "palit",
    "зотак": "zotac",
    "мси": "msi",
    "сапфир": "sapphire",
    "сапфаер": "sapphire",
    "гейнвард": "gainward",
    "инно": "inno",
}


class CharacterRun(NamedTuple):
    """A maximal run of letters or of digits; ``start`` and ``end`` index the normalised text."""

    text: str
    start: int
    end: int


# A title has a dozen: made from a tuple they take half the time of a call with three arguments.
_run = tuple.__new__


def normalise(text: str) -> str:
    """Return the title in lower case, entities, tags, odd spaces and look-alike letters resolved.

    Idempotent. At most `MAX_TITLE_CHARS` characters long.
    """
    return _normalised(text[: 4 * MAX_TITLE_CHARS])


def runs(normalised: str) -> list[CharacterRun]:
    """Split normalised text into runs of letters and digits (``rtx4060ti`` -> rtx, 4060, ti)."""
    if _GLUED_CORE.search(normalised) is None:
        return _placed(_RUN.findall(normalised), normalised)
    found = []
    for match in _RUN.finditer(normalised):
        text, start = match[0], match.start()
        core = _GLUED_CORE.search(text) if len(text) > 4 else None
        if core is None:
            found.append(CharacterRun(text, start, match.end()))
            continue
        cuts = sorted({0, core.start(), core.end(), len(text)})
        for left, right in itertools.pairwise(cuts):
            found.append(CharacterRun(text[left:right], start + left, start + right))
    return found


def _placed(texts: Sequence[str], normalised: str) -> list[CharacterRun]:
    """Return the runs of a text: to look for each again is quicker than to make match objects."""
    find, end = normalised.find, 0
    return [
        _run(CharacterRun, (text, start := find(text, end), end := start + len(text)))
        for text in texts
    ]


def spaced(normalised: str) -> str:
    """Return the runs joined by spaces: the form in which texts are embedded."""
    if _GLUED_CORE.search(normalised) is None:
        return " ".join(_RUN.findall(normalised))
    return " ".join(run.text for run in runs(normalised))


class ListingText(NamedTuple):
    """A listing's text as all that reads it takes it.

    :param title: normalised, with its ``runs``.
    :param seller: the vendor, normalised.
    :param embedded: vendor, title and the start of the description, their runs joined by spaces.
    :param description: its start, normalised.
    """

    title: str
    runs: list[CharacterRun]
    seller: str
    embedded: str
    description: str = ""


def listing_text(listing: Listing) -> ListingText:
    """Normalise a listing's text and split it into runs."""
    title, seller = normalise(listing.title), normalise(listing.vendor)
    description = normalise(listing.description)[:MAX_DESCRIPTION_CHARS]
    pieces = runs(title)
    shown = [run[0] for run in pieces]
    if seller and seller.split(" ")[0] not in title:
        shown.insert(0, spaced(seller))
    if description:
        shown.append(spaced(description[:_EMBEDDED_DESCRIPTION]))
    return ListingText(title, pieces, seller, " ".join(filter(None, shown)), description)


def descriptor(record: GpuRecord) -> str:
    """Return the text that stands for a GPU in the index: name, memory, form and aliases."""
    gb = record.memory_gb
    size = f"{gb:g}gb" if gb >= 1 else f"{gb * 1024:g}mb" if gb else ""
    form = "" if record.form_factor == "PCIe" else record.form_factor
    parts = (record.vendor, record.model, size, record.memory_type, form, *record.aliases[:2])
    return spaced(normalise(" ".join(parts)))


# A resolver asks first whether there is a title at all; a batch's titles fit.
@lru_cache(maxsize=16384)
def _normalised(text: str) -> str:
    while (cleaner := _normalise_once(text)) != text:
        text = cleaner
    return text


def _normalise_once(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _MARKS.sub("", text))
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    text = text.lower()
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = _WORD_WITH_CYRILLIC.sub(lambda match: _latinise(match[0]), text)
    if _O_BEHIND_DIGIT.search(text):
        text = _LETTER_O_IN_NUMBER.sub(lambda match: match[0].replace("o", "0"), text)
    if "gtx+" in text:
        text = text.replace("gtx+", "gtx plus ")
    return " ".join(text.split())[:MAX_TITLE_CHARS].rstrip()


@lru_cache(maxsize=65536)
def _latinise(word: str) -> str:
    pieces = re.findall(r"[\u0400-\u04ff]+|[^\u0400-\u04ff]+", word)
    named = "".join(_CYRILLIC_NAMES.get(piece, piece) for piece in pieces)
    if re.search(r"[a-z]", named) and re.search(r"[\u0400-\u04ff]", named):
        looks_latin = named.translate(_HOMOGLYPHS)
        if looks_latin.isascii():
            return looks_latin
    return named
