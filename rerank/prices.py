"""Prices as people write them: the number, the currency, and why there is none.

A comma or a point before three digits may part thousands or decimals; which, a column says by its
other cells (`decimal_mark`). Packages that read prices look at one text alone, so they cannot.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from math import isfinite, nan
from typing import NamedTuple

_SYMBOLS = {
    "USD": "$ us$ usd us-$ dollar dollars долл",
    "EUR": "€ eur euro euros евро",
    "GBP": "£ gbp",
    "JPY": "¥ jpy 円",
    "CNY": "cny rmb 元 cn¥",
    "RUB": "₽ rub руб р rur",
    "TRY": "₺ try tl",
    "UAH": "₴ uah грн",
    "PLN": "zł pln zl złotych złoty",
    "CZK": "kč czk kc",
    "CHF": "chf fr sfr",
    "SEK": "sek",
    "NOK": "nok",
    "DKK": "dkk",
    "kr": "kr",
    "HUF": "huf ft",
    "RON": "ron lei",
    "CAD": "cad c$ ca$",
    "AUD": "aud a$ au$",
    "BRL": "brl r$",
    "INR": "inr ₹ rs",
    "ILS": "ils ₪",
    "KRW": "krw ₩",
    "BGN": "bgn лв",
    "MXN": "mxn mx$",
    "SGD": "sgd s$",
    "HKD": "hkd hk$",
    "NZD": "nzd nz$",
}
_CURRENCY = {word: code for code, words in _SYMBOLS.items() for word in words.split()}
CURRENCIES = frozenset(_CURRENCY)
"""Signs, codes and words of currencies, lower case, without points."""

_NUMBER = (
    r"\d{1,3}(?:(?:['’\u00a0\u202f .]\d{3})+|(?:,\d{2,3})*,\d{3})(?!\d)(?:[.,]\d+)?"
    r"|\d+(?:[.,]\d+)?"
)
_FOUND = re.compile(rf"(?P<sign>(?<![\w.])[-\N{{MINUS SIGN}}]\s?)?(?P<number>{_NUMBER})")
_SPACES = re.compile(r"['’\s]")
_WORD = re.compile(r"[^\W\d_]+\.?\$?|[$€£¥₽₺₴₹₪₩元円]")
_NO_CENTS = re.compile(r"[.,:]?[-\u2013\u2014=]{1,2}(?!\s?\d)")  # 199.- and 199,--
_SWEDISH = re.compile(r"(?<=\d):(?=\d\d(?!\d))")  # 199:50
_CENTS = frozenset("c ct cent cents ¢".split())
_RANGE = re.compile(
    r"\s*(?:[^\W\d_]{1,4}|[$€£¥₽₺₴₹₪₩])?\s*(?:-|\u2013|\u2014|~|/|\b(?:to|bis|do|à)\b)\s*"
)
_THOUSANDS = frozenset("k tsd tys тыс mila mil".split())
_FROM = frozenset("ab from od от desde da fra från vanaf dès à starting dal from".split())
_PER = frozenset("mtl monat monatlich month mo monthly rate raten miesięcznie mies month/".split())

EMPTY, NO_NUMBER, ZERO, NEGATIVE = "empty", "no number", "zero", "negative"
RANGE, SEVERAL, RATE, SHARE = "a range", "several numbers", "an instalment", "a percentage"
FROM = "from"
"""Said beside a price that is the lowest of several: ``ab 249 EUR``."""


class Price(NamedTuple):
    """A price as a cell states it.

    :param value: above 0; NaN where the cell holds none.
    :param currency: ISO 4217's code, ``kr`` where that could be three countries', "" if unsaid.
    :param note: why there is no value, or `FROM`; else "".
    """

    value: float
    currency: str = ""
    note: str = ""


def decimal_mark(texts: Iterable[str], *, prices: bool = False) -> str:
    """Return "," or ".": what stands before the decimals in a column.

    One that is followed by other than three digits says so, and one that stands behind the other.
    Where all that is there is followed by three, a comma parts thousands; so does a point in
    prices, and in other numbers it does not.
    """
    votes: Counter[str] = Counter()
    thousands: Counter[str] = Counter()
    for text in texts:
        found = _FOUND.search(text)
        if found is None:
            continue
        number = _SPACES.sub("", found["number"])
        if told := _own_mark(number):
            votes[told] += 1
        elif marks := _marks(number):
            thousands[marks[0]] += 1
    if votes:
        return max(",.", key=lambda mark: (votes[mark], mark == "."))
    return "," if prices and thousands["."] > thousands[","] else "."


def read_price(text: str, decimal: str = ".") -> Price:
    """Return the price that a cell states.

    :param decimal: what stands before decimals in its column where the cell leaves it open.
    """
    said = _SWEDISH.sub(",", unicodedata.normalize("NFKC", text).strip())
    if not said or said in "-\u2013\u2014":
        return Price(nan, "", EMPTY)
    found = list(_FOUND.finditer(said))
    words = [word.lower().rstrip(".") for word in _WORD.findall(said)]
    currency = next((_CURRENCY[word] for word in _signs(said, words) if word in _CURRENCY), "")
    if not found:
        return Price(nan, currency, NO_NUMBER)
    if len(found) > 1:
        return Price(nan, currency, _why_several(said, found, words))
    if _PER.intersection(words):
        return Price(nan, currency, RATE)
    number = found[0]
    behind = said[number.end() :]
    if no_cents := _NO_CENTS.match(behind):
        decimal = behind[0] if behind[0] in ".," else decimal
        behind = behind[no_cents.end() :]
    value = _value(number["number"], decimal) * _factor(behind)
    why = (
        NO_NUMBER
        if not isfinite(value)
        else SHARE
        if behind.lstrip().startswith("%")
        else ZERO
        if not value
        else NEGATIVE
        if number["sign"]
        else ""
    )
    if why:
        return Price(nan, currency, why)
    return Price(value, currency, FROM if words and words[0] in _FROM else "")


def read_prices(texts: Sequence[str]) -> list[Price]:
    """Return the prices of a column's cells; its own `decimal_mark` parts their decimals."""
    told = set(texts)
    mark = decimal_mark(sorted(told), prices=True)
    found = {text: read_price(text, mark) for text in told}
    return [found[text] for text in texts]


def currency_of(text: str) -> str:
    """Return the code of the currency that a cell of a currency column names, "" if none."""
    word = text.strip().lower().rstrip(".")
    return _CURRENCY.get(word, word.upper() if re.fullmatch("[a-z]{3}", word) else "")


def _signs(said: str, words: Sequence[str]) -> Iterable[str]:
    """Yield what may be a currency: signs of two letters and a dollar first."""
    yield from (match.lower().replace(" ", "") for match in re.findall(r"[A-Za-z]{1,2} ?\$", said))
    yield from words


def _factor(behind: str) -> float:
    """Return what a number is worth by the unit that follows it: thousands, cents."""
    unit = _WORD.match(behind.strip().lower())
    word = unit[0].rstrip(".") if unit else ""
    return 1000.0 if word in _THOUSANDS else 0.01 if word in _CENTS else 1.0


def _why_several(said: str, found: Sequence[re.Match[str]], words: Sequence[str]) -> str:
    between = said[found[0].end() : found[1].start()] + (found[1]["sign"] or "")
    if _PER.intersection(words):
        return RATE
    return RANGE if len(found) == 2 and _RANGE.fullmatch(between) else SEVERAL


def _marks(number: str) -> list[str]:
    return [char for char in number if char in ".,"]


def _own_mark(number: str) -> str:
    """Return what stands before the decimals of a number without spaces, "" if it leaves that open.

    One mark that three digits follow may part thousands: 1.299.
    """
    marks = _marks(number)
    if len(set(marks)) == 2:
        return marks[-1]  # 1.234,56 says itself what parts what
    if len(marks) > 1:
        return ",."[marks[0] == ","]
    if marks and (len(number) - number.index(marks[0]) != 4 or number.startswith("0")):
        return marks[0]
    return ""


def _value(number: str, decimal: str) -> float:
    digits = _SPACES.sub("", number)
    decimal = _own_mark(digits) or decimal
    other = "." if decimal == "," else ","
    try:
        return float(digits.replace(other, "").replace(decimal, "."))
    except ValueError:
        return nan
