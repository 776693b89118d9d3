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
EMBEDDED_DESCRIPTION = 120

_TAG = re.compile(
    r"</?(?:a|b|br|center|div|em|font|h\d|hr|i|img|li|ol|p|s|small|span|strong|sub|sup|table|td|tr"
    r"|u|ul)(?:\s[^<>]{0,200})?/?>",
    re.IGNORECASE,
)
# Latin words with their accents (but no division sign), digits, words of another script:
# "显卡RTX3080" is three runs.
_LATIN = r"a-z\u00df-\u00f6\u00f8-\u024f"
RUN = re.compile(rf"[{_LATIN}]+|\d+|[^\W\d_{_LATIN}]+")
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_MARKS = re.compile(r"[™®©\u200b-\u200f\u2060\ufeff\u00ad]")
# Core words that partners glue into their codes (GV-RXVEGA64, GTXTITANX, GV-R9FURYX) and brands
# that people write together with what follows: TeslaP40, RadeonPro, GeForceGT.
_GLUED = re.compile(
    r"titan(?!ium)|vega(?!s)|fury|(?:geforce|radeon|quadro|tesla|instinct)(?!s?(?![a-z]))"
    r"|(?<=[a-z])(?:geforce|radeon)|grid(?=k(?![a-z]))"
)
# "GTX1O7O", "RX 58O": the letter O for a zero, written past a shop's word filter.
_LETTER_O_IN_NUMBER = re.compile(
    r"(?<!\d)\d{1,2}(?:o\d{1,2})+o?(?!\d)"
    r"|(?<=[xts ])[1-9]\do(?![a-z\d])|(?<=[xts ])[1-9]\d{2}o(?![a-z\d])"
)
_O_BEHIND_DIGIT = re.compile(r"\do")  # in all of these, and in few titles
_WORD_WITH_CYRILLIC = re.compile(r"\b[^\W\u0400-\u04ff]*[\u0400-\u04ff]\w*")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
# Greek, Hebrew, Arabic, the scripts of India and Thailand; kana, Chinese and Korean.
_OTHER_SCRIPT = re.compile(r"[\u0370-\u03ff\u0590-\u1aff\u3040-\ud7ff]")
_ACCENT = re.compile(r"[\u00e0-\u024f\u0300-\u036f]")
_WORD_WITH_ACCENT = re.compile(
    r"[a-z]*[\u00e0-\u024f\u0300-\u036f][a-z\u00e0-\u024f\u0300-\u036f]*"
)
# "for 1080p gaming" says what a card is good for, not what it fits.
_FOR_SCREENS = re.compile(
    r"(?:\b(?:perfect|perfekt|great|good|ideal|ideale?|parfaite?|perfett[ao]|perfect[ao]|excelente"
    r"|идеальн[а-я]+|отличн[а-я]+|хорош[а-я]+) )?"
    r"\b(?:(?:for|to|pour|para|per|da|zum|om|do|dla|для|чтобы) (?:gaming|play(?:ing)?|jouer|jogar"
    r"|jugar|giocare|spielen|zocken|spelen|grania|gier|игр[а-я]*|играть|ігор) )?"
    r"(?:for|für|fuer|pour|para|per|voor|dla|для|do|till|för|til|için|untuk|na|em|en|in|auf|at|в|w"
    r"|@) (?:full ?hd |fhd |w?qhd |uhd )?(?:(?:720|1080|1440|2160)p|[248]k)\b"
    r"(?:(?: |/|-)(?:1080p|1440p|2160p|[248]k|gaming|games?|gamers?|игр|играм?))*(?: ?[:,-] )?"
)
# GiB and Gio are GB to sellers, and what a tool gives in MiB is the GB on the box.
_BINARY = re.compile(r"(\d+)( ?)([gm])i[bo]\b")
_NEAR_GB = 0.025
_BOX_SIZES = frozenset([1, 2, 3, 4, 6, 8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96])
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
# Entities end in ";". Shops drop it behind the usual ones only: "&GTS" is no ">S".
_ENTITY = re.compile(
    r"&(?:#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});|&(?:#\d{2,7};?|nbsp|(?:amp|quot)(?![a-z0-9]))",
    re.IGNORECASE,
)
# What a detector writes around a name: "NVIDIA Corporation GK106 [GeForce GTX 660] (rev a1)",
# "10de:2684", "(0x00002860)". A chip and its id name no card, but a chip's M is a laptop's.
_DETECTED_CHIP = re.compile(r"\b(?:g[kmpfvtahb]|tu|ad)\d{3}([a-z]{0,3})(?= \[)")
_DETECTED = re.compile(
    r"\(rev [0-9a-f]{2}\)|(?<=nvidia )corporation\b|(?<=intel )corporation(?: dg\d)?\b"
    r"|(?<=amd/ati\] )[a-z]+(?: \d\d)?(?: [a-z/ ]{2,12})? ?(?=\[)|advanced micro devices, inc\."
    r"|\b(?:10de|1002|8086):[0-9a-f]{4}\b"
    r"|\(?\b0x[0-9a-f]{4,8}\b\)?|\b[0-9a-f]{2}:[0-9a-f]{2}\.\d (?=vga|3d)"
    r"|(?<=vga )compatible controller:|\b3d controller:"
)
# The words for GB and MB of languages that do not write "gb". A number stands before them, of few
# digits: behind "RTX 3060" the Russian word is the brand.
_GB_WORD = re.compile(
    r"(?<!\d)(\d{1,2}(?:[.,]\d{1,2})?)[ -]?(?:г[иі]г\w{0,10}|[گغجق][يی][گغجق](?:ا(?: ?با[يی]ت)?)?"
    r"|ג['׳]?יגה(?:בי+ט)?|ג[\"״]ב|ギガ(?:バイト)?|기가(?:바이트)?|吉(?:字节|字節|位元組)?"
    r"|γ[ιί]γα\w{0,6}|जीबी|गीगाबाइट|জিবি|গিগাবাইট|[กจ]ิกะไบ[ตท]์?)"
)
_MB_WORD = re.compile(
    r"(?<!\d)(\d{2,5})[ -]?(?:мегабайт\w{0,3}|م[يی][گغج]ا ?با[يی]ت|مگابا[يی]ت"
    r"|メガ(?:バイト)?|메가(?:바이트)?|μ[εέ]γα\w{0,6}|एमबी|मेगाबाइट|เมกะไบ[ตท]์?)"
)

# Behind a number: what makes it a clock, a price, a length ... and no model's. "7970 GHz" is one.
_CLOCK_BEHIND = re.compile(
    r"(?:[.,]\d{1,3})? ?-?(?:mhz|мгц)|(?:[.,]\d{1,3}|(?<!\d{3})) ?-?(?:ghz|ггц)"
    r"|(?<=360|480|540|720|080|440|160|320)p(?![a-z0-9-])"
)
_UNIT_BEHIND = re.compile(
    r"[.,]000(?!\d)|(?:[.,]\d{1,3})?[ -]?(?:[/|~\u2013-] ?\d{3,5} ?(?:[mg]hz|мгц)|k?hz|гц|w|watts?"
    r"|watów|вт|bits?|бит|rpm|об|fps|кадр|[gm]bps|mt/s|mh/?s?|[cm]m|[см]м|dpi|nits?|mah|mi?b"
    r"|cuda|cores?|ядер|ядра|kerne|cœurs|coeurs|núcleos|rdzeni|shaders?"
    r"|stream proc\w*|pins?)(?![a-zа-я/])"
    r"|(?:[ikv]|va)(?![a-z0-9/-])| ?%| ?[x\u00d7*] ?(?:\d{3,4}(?!\d)|\d\d ?[cm]m)"
)
_SIGNS = frozenset("$€£¥₽₴₹₩₪₺฿₫₱₸₦")
_SIGN = f"[{''.join(sorted(_SIGNS))}]"
# Words that stand behind a price, and such as may stand before it: "1070 rs 9000" is no price.
_MONEY_LAST = "ft|zl|zł|kč|лв|руб|грн|тг"
_MONEY = (
    "usd|eur|euro|euros|gbp|chf|pln|czk|huf|sek|nok|dkk|isk|rub|uah|ron|bgn|inr|aed|sar|ils|krw|jpy"
    "|cny|rmb|twd|hkd|sgd|myr|thb|vnd|idr|php|brl|mxn|ars|clp|cop|cad|aud|nzd|zar|kr|rs|rp|rm|tl"
)
_MONEY_BEHIND = re.compile(
    rf"(?:[.,]\d{{1,3}})?[ -]?(?:,-|\.-|{_SIGN}(?! ?\d)|(?:{_MONEY})(?![a-z]|[.:]? ?\d)"
    rf"|(?:{_MONEY_LAST}|lei|try|złot\w*|рубл\w*|р\.|гривен\w*|тенге|лева|reais|pesos|dollars?"
    r"|dolar\w*|bucks|yen|元|円|원|만원|บาท|تومان|ریال|درهم|ريال|جنيه|دينار)(?![a-z]))"
)
_CURRENCIES = frozenset(_MONEY.split("|")) | _SIGNS | {"r$"}
_PRICE_WORDS = frozenset(
    "price preis prix precio preço prezzo prijs pris cena cenę harga hinta fiyat цена ціна clock"
    " takt 价格 價格 価格 가격 قیمت السعر".split()
)
# Before a number: another side of a screen, a processor's line, a memory module's speed.
_OTHER_BEFORE = re.compile(
    r"(?:\d{3} ?[x\u00d7*] ?|(?<![a-z])(?:i[3579]|ryzen \d(?: pro)?|core ultra \d)[ -]"
    r"|(?<!g)ddr[45]-| ddr[45] )$"
)
_LONGEST_BEFORE = 16
_BETWEEN_SIDES = frozenset("x\u00d7*-")

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


# Names that lose their accents, as nobody means another word: "Súper", "TİTAN", "Géforce".
_NAMES = frozenset(_CYRILLIC_NAMES.values()) - {"gb", "mb"}
NAMES_IN_CYRILLIC = "|".join(sorted({*_CYRILLIC_NAMES.values()}, key=len, reverse=True))
"""Pattern of all that people write in Cyrillic letters too, the longest first."""


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


def is_blank(text: str) -> bool:
    """Say whether nothing is left of a title once it is normalised; quicker than to do that."""
    if not _LETTER_OR_DIGIT.search(text) or "<" in text or "&" in text:
        return not normalise(text)
    shown = text if text.isascii() else unicodedata.normalize("NFKC", _MARKS.sub("", text))
    shown = shown.lower()
    return ("0p" in shown or "k gam" in shown) and not normalise(text)


def runs(normalised: str) -> list[CharacterRun]:
    """Split normalised text into runs of letters and digits (``rtx4060ti`` -> rtx, 4060, ti)."""
    if not may_be_glued(normalised):
        return uncut_runs(normalised)
    return cut_runs(normalised)


def uncut_runs(normalised: str) -> list[CharacterRun]:
    """Return the runs of a text in which no names are glued together."""
    return _placed(RUN.findall(normalised), normalised)


def cut_runs(normalised: str) -> list[CharacterRun]:
    """Return the runs of a text, core words and brands inside longer words cut out."""
    found = []
    for match in RUN.finditer(normalised):
        text, start = match[0], match.start()
        cuts = {0, len(text)}
        if len(text) > 4:
            cuts |= {place for name in _GLUED.finditer(text) for place in name.span()}
        for left, right in itertools.pairwise(sorted(cuts)):
            found.append(CharacterRun(text[left:right], start + left, start + right))
    return found


def may_be_glued(text: str) -> bool:
    """Say whether a text may hold a core word or a brand inside a longer word; quick, and rare."""
    return (
        "titan" in text
        or "vega" in text
        or "fury" in text
        or ("geforce" in text and "geforce " not in text)
        or ("radeon" in text and "radeon " not in text)
        or ("quadro" in text and "quadro " not in text)
        or ("tesla" in text and "tesla " not in text)
        or "instinctm" in text
        or "gridk" in text
    )


HOLDS_NAME = re.compile(r"titan|vega|fury|geforce|radeon|quadro|tesla|instinct|gridk")
"""What each word has that may be glued to others."""


def _placed(texts: Sequence[str], normalised: str) -> list[CharacterRun]:
    """Return the runs of a text: to look for each again is quicker than to make match objects."""
    find, end = normalised.find, 0
    return [
        _run(CharacterRun, (text, start := find(text, end), end := start + len(text)))
        for text in texts
    ]


def first_word(text: str) -> str:
    """Return what stands before the first space."""
    return text.split(" ", 1)[0]


@lru_cache(maxsize=4096)
def spaced(normalised: str) -> str:
    """Return the runs joined by spaces: the form in which texts are embedded."""
    if not may_be_glued(normalised):
        return " ".join(RUN.findall(normalised))
    return " ".join(run.text for run in runs(normalised))


@lru_cache(maxsize=65536)
def squash(text: str) -> str:
    """Return the letters and digits of a text and nothing else: the form in which names collide."""
    return "".join(RUN.findall(normalise(text)))


def is_measure(normalised: str, run: CharacterRun, named: bool) -> bool:
    """Say whether a run of digits is a clock, a price, a size ..., rather than a model's number.

    :param named: a line's word or letter stands right before it; then only a clock is a measure.
    """
    _, start, end = run
    if end < len(normalised) and _CLOCK_BEHIND.match(normalised, end):
        return True
    if named:
        return False
    if _UNIT_BEHIND.match(normalised, end) or _MONEY_BEHIND.match(normalised, end):
        return True
    before = normalised[max(0, start - _LONGEST_BEFORE) : start]
    if before[-1:] == "." and before[-2:-1].isdigit() and end - start == 3:
        return True  # of 1.650.000
    if before[-1:] in _SIGNS:
        return not before[-2:-1].isdigit()  # the sign of "120$1060" is that of 120
    head, _, word = before.rstrip(" :.").rpartition(" ")
    if word in _PRICE_WORDS or (word in _CURRENCIES and not head[-1:].isdigit()):
        return True
    if word[-1:].isdigit() or word[-1:] in _BETWEEN_SIDES:
        return _OTHER_BEFORE.search(before) is not None
    return False


# What stands behind a number up to a space, of which what makes it a measure may go on behind that.
_UNFINISHED = re.compile(
    r"(?:[.,]\d{1,3})?[ -]?(?:[/|~\u2013-](?:\d{3,5})?|stream|[x\u00d7*](?:\d\d)?)?"
)


@lru_cache(maxsize=16384)
def may_be_measure_by_next(word: str) -> bool:
    """Say whether a number before a word may be a measure, as `is_measure` has it; seldom yes."""
    return _may_be_measure(f"0 {word} ", 1, f" {word}")


@lru_cache(maxsize=16384)
def may_be_measure_by_rest(word: str, end: int) -> bool:
    """Say whether a number that ends at ``end`` inside a word may be a measure; seldom yes."""
    return _may_be_measure(f"{word} ", end, word[end:])


def _may_be_measure(text: str, end: int, rest: str) -> bool:
    patterns = (_CLOCK_BEHIND, _UNIT_BEHIND, _MONEY_BEHIND)
    return any(each.match(text, end) for each in patterns) or bool(_UNFINISHED.fullmatch(rest))


@lru_cache(maxsize=16384)
def may_be_measure_by_previous(before: str) -> bool:
    """Say whether a number may be a measure by what stands before it up to a space; seldom yes."""
    if before[-1] in _SIGNS or (before[-1] == "." and before[-2:-1].isdigit()):
        return True
    word = before.rstrip(":.")
    if not word or word in _PRICE_WORDS or word in _CURRENCIES:
        return True
    return word[-1].isdigit() or word[-1] in _BETWEEN_SIDES


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
    description = described_text(listing)
    pieces = runs(title)
    shown = embedded_text(title, " ".join([run[0] for run in pieces]), seller, description)
    return ListingText(title, pieces, seller, shown, description)


def described_text(listing: Listing) -> str:
    """Return the start of a listing's description, normalised."""
    return normalise(listing.description)[:MAX_DESCRIPTION_CHARS]


def embedded_text(title: str, shown: str, seller: str, description: str) -> str:
    """Return the text that a listing is embedded by.

    :param shown: the runs of the title, joined by spaces.
    """
    if seller and first_word(seller) not in title:
        shown = f"{spaced(seller)} {shown}".strip(" ")
    if description:
        shown = f"{shown} {spaced(description[:EMBEDDED_DESCRIPTION])}".strip(" ")
    return shown


def written_size(memory_gb: float) -> str:
    """Return a memory size as titles have it, nothing for a GPU without memory of its own."""
    if memory_gb >= 1:
        return f"{memory_gb:g}gb"
    return f"{memory_gb * 1024:g}mb" if memory_gb else ""


def descriptor(record: GpuRecord) -> str:
    """Return the text that stands for a GPU in the index: name, memory, form and aliases."""
    size = written_size(record.memory_gb)
    form = "" if record.form_factor == "PCIe" else record.form_factor
    parts = (record.vendor, record.model, size, record.memory_type, form, *record.aliases[:2])
    return spaced(normalise(" ".join(parts)))


# What rules of `_normalise_once` look at that reach over a space, or at what stands before a word:
# of words in ASCII that are no letters or digits alone, of such letters, and of other scripts.
_REACHES_OUT = re.compile(
    r"[&<]|\do|gtx\+|^[gm]i[bo]\b|0p|[248]k|^corporation|^devices|\(rev$|\b0x|(?:10de|1002|8086):"
    r"|\b(?:g[kmpfvtahb]|tu|ad)\d{3}[a-z]{0,3}$|amd/ati\]$"
    r"|[0-9a-f]{2}:[0-9a-f]{2}\.\d$|^controller:",
    re.MULTILINE,
)
_WORDS_THAT_REACH_OUT = ("gib", "gio", "mib", "mio", "corporation", "devices")
_OTHERS_REACH_OUT = re.compile(
    r" |^-?(?:г[иі]г|мегаб|[گغجق][يی]|م[يی]|مگا|ג|ギガ|メガ|기가|메가|吉|γ[ιί]γ|μ[εέ]γ|जीबी|गीगा"
    r"|एमबी|मेगा|জিবি|গিগা|[กจ]ิกะ|เมกะ)",
    re.MULTILINE,
)
_OTHER_SCRIPTS_DIGIT = re.compile(r"[^\x00-\x7f](?<=\d)")
_LOOSE_MARK = re.compile(r"[\u0300-\u036f]")  # joins what stands before it only when read again
_DIGIT, _ASCII = re.compile(r"\d"), re.compile(r"[!-~]+")


def normalised_words(raw: Sequence[str]) -> list[str | None]:
    """Return what `normalise` makes of words whatever stands about them, None of others.

    Words of other scripts are looked at as one text, a word a line: no rule that is left crosses
    the end of a line.

    :param raw: pieces of titles between spaces; not normalised.
    """
    found: list[str | None] = [_normalised_ascii(word) if word.isascii() else None for word in raw]
    others = [at for at, word in enumerate(raw) if not word.isascii()]
    if not others:
        return found
    text = unicodedata.normalize("NFKC", _MARKS.sub("", "\n".join([raw[at] for at in others])))
    shown = unicodedata.normalize("NFKC", text.lower())
    latin = _in_latin(shown)
    odd = _lines_with(shown, _OTHERS_REACH_OUT, _LOOSE_MARK)
    odd |= _lines_with(latin, _OTHER_SCRIPTS_DIGIT)
    numbered, mixed = _lines_with(shown, _DIGIT), _lines_with(f"{latin}\n{shown}", _ASCII)
    lines = zip(others, latin.split("\n"), shown.split("\n"), strict=True)
    for line, (at, word, before) in enumerate(lines):
        if line in odd or not word or len(word) > MAX_TITLE_CHARS:
            continue
        own = _by_itself(raw[at]) if line in numbered else word
        if line in mixed or line + len(others) in mixed:
            if _REACHES_OUT.search(before) or (own is not None and _REACHES_OUT.search(own)):
                continue
        found[at] = None if own is not None and _OTHER_SCRIPTS_DIGIT.search(own) else own
    return found


def normalised(titles: Sequence[str], known: dict[str, str | None]) -> list[str]:
    """Return what `normalise` makes of titles, each word looked at once.

    :param known: what words become that were seen before; takes those that come.
    """
    if len(known) > _MOST_KNOWN:
        known.clear()
    raw = [title.split() if len(title) <= MAX_TITLE_CHARS else [] for title in titles]
    new = [word for word in dict.fromkeys(itertools.chain(*raw)) if word not in known]
    known.update(zip(new, normalised_words(new), strict=True))
    words = ([known[word] for word in own] for own in raw)
    shown = (" ".join(filter(None, own)) if None not in own else "" for own in words)
    return [
        text if text and len(text) <= MAX_TITLE_CHARS else normalise(title)
        for title, text in zip(titles, shown, strict=True)
    ]


_MOST_KNOWN = 200_000


def _normalised_ascii(raw: str) -> str | None:
    word = raw.lower()
    if raw.isalpha():
        return None if word.startswith(_WORDS_THAT_REACH_OUT) else word
    if raw.isdigit():
        return word
    if _REACHES_OUT.search(word):
        return None
    return _by_itself(raw) if "ib" in word or "io" in word else word


def _lines_with(text: str, *patterns: re.Pattern[str]) -> set[int]:
    """Return the numbers of the lines in which one of some patterns is found."""
    places = sorted(match.start() for each in patterns for match in each.finditer(text))
    lines: set[int] = set()
    line, done = 0, 0
    for place in places:
        line += text.count("\n", done, place)
        done = place
        lines.add(line)
    return lines


def _by_itself(raw: str) -> str | None:
    """Return a word normalised, or None if that is not the end of it."""
    word = _normalised.__wrapped__(raw)
    return word if word and " " not in word and _normalise_once(word) == word else None


# A resolver asks first whether there is a title at all; a batch's titles fit.
@lru_cache(maxsize=16384)
def _normalised(text: str) -> str:
    if text.isalpha() and text.isascii():
        return text.lower()[:MAX_TITLE_CHARS]
    while (cleaner := _normalise_once(text)) != text:
        if "&" not in text and cleaner == text.lower():
            return cleaner  # nothing but its case was odd
        text = cleaner
    return text


def _normalise_once(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _MARKS.sub("", text))
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    if "<" in text:
        text = _TAG.sub(" ", text)
    text = text.lower()
    if not text.isascii():
        text = _in_latin(unicodedata.normalize("NFKC", text))
    if _O_BEHIND_DIGIT.search(text):
        text = _LETTER_O_IN_NUMBER.sub(lambda match: match[0].replace("o", "0"), text)
    if "gtx+" in text:
        text = text.replace("gtx+", "gtx plus ")
    if "ib" in text or "io" in text:
        text = _BINARY.sub(_in_gb, text)
    if "0p" in text or "k gam" in text:
        text = _FOR_SCREENS.sub(" ", text)
    if (
        " corporation" in text
        or "micro devices" in text
        or "(rev " in text
        or "0x" in text
        or (":" in text and ("10de:" in text or "1002:" in text or "8086:" in text))
    ):
        named = _DETECTED_CHIP.sub(lambda chip: "mobile" if "m" in chip[1] else " ", text)
        named = _DETECTED.sub(" ", named)
        text = text if named.isspace() else named
    return " ".join(text.split())[:MAX_TITLE_CHARS].rstrip()


def _in_gb(size: re.Match[str]) -> str:
    gb = int(size[1]) / 1024
    if size[3] == "m" and round(gb) in _BOX_SIZES and 0 <= round(gb) - gb < _NEAR_GB * gb:
        return f"{round(gb)}{size[2]}gb"
    return f"{size[1]}{size[2]}{size[3]}b"


def _in_latin(text: str) -> str:
    """Write digits, names and size words of other scripts and with accents as Latin ones."""
    if _ACCENT.search(text):
        text = text.replace("i\u0307", "i")  # what a Turkish capital I becomes
        text = _WORD_WITH_ACCENT.sub(lambda match: _without_accents(match[0]), text)
    cyrillic, other = _CYRILLIC.search(text), _OTHER_SCRIPT.search(text)
    if other:
        text = _OTHER_DIGIT.sub(lambda match: str(unicodedata.decimal(match[0])), text)
        text = text.replace("\u066b", ".")  # the Arabic decimal point
    if other or (cyrillic and ("гиг" in text or "гіг" in text or "мегаб" in text)):
        text = _GB_WORD.sub(r"\1gb ", text)
        text = _MB_WORD.sub(r"\1mb ", text)
    if cyrillic:
        text = _WORD_WITH_CYRILLIC.sub(lambda match: _latinise(match[0]), text)
    return text


@lru_cache(maxsize=65536)
def _without_accents(word: str) -> str:
    bare = "".join(
        char for char in unicodedata.normalize("NFD", word) if not unicodedata.combining(char)
    ).replace("\u0131", "i")
    return bare if bare in _NAMES or _GLUED.search(bare) else word


@lru_cache(maxsize=65536)
def _latinise(word: str) -> str:
    pieces = re.findall(r"[\u0400-\u04ff]+|[^\u0400-\u04ff]+", word)
    named = "".join(_CYRILLIC_NAMES.get(piece, piece) for piece in pieces)
    if re.search(r"[a-z]", named) and re.search(r"[\u0400-\u04ff]", named):
        looks_latin = named.translate(_HOMOGLYPHS)
        if looks_latin.isascii():
            return looks_latin
    return named
