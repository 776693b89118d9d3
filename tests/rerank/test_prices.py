"""Prices as people write them."""

from __future__ import annotations

from math import isnan

import pytest

from rerank.prices import Price, currency_of, decimal_mark, read_price, read_prices

READ = {
    "172,22 zł": (172.22, "PLN"),
    "1.234,56 €": (1234.56, "EUR"),
    "$1,234.50": (1234.5, "USD"),
    "1 234,5 руб.": (1234.5, "RUB"),
    "199.-": (199, ""),
    "199,-": (199, ""),
    "199,–": (199, ""),
    "1.299,– €": (1299, "EUR"),
    "EUR 1.234,-": (1234, "EUR"),
    "1,299.- USD": (1299, "USD"),
    "£1.2k": (1200, "GBP"),
    "2,5 tys. zł": (2500, "PLN"),
    "12 тыс. руб.": (12000, "RUB"),
    "1'299.00 CHF": (1299, "CHF"),
    "Fr. 1’299.–": (1299, "CHF"),
    "1\u202f299,00\u00a0€": (1299, "EUR"),
    "R$ 1.299,90": (1299.9, "BRL"),
    "Rs. 12,34,567": (1234567, "INR"),
    "₹ 1,29,999": (129999, "INR"),
    "US $45.99": (45.99, "USD"),
    "C $120": (120, "CAD"),
    "AU $1,050.00": (1050, "AUD"),
    "kr 2 499": (2499, "kr"),
    "2 499:-": (2499, ""),
    "199:50 kr": (199.5, "kr"),
    "1 299 SEK": (1299, "SEK"),
    "4 060 Kč": (4060, "CZK"),
    "89 990 Ft": (89990, "HUF"),
    "1.299,00 TL": (1299, "TRY"),
    "12 500 грн": (12500, "UAH"),
    "¥45,000": (45000, "JPY"),
    "２９９円": (299, "JPY"),
    "299": (299, ""),
    "299.99": (299.99, ""),
    "0.5": (0.5, ""),
    "$1.299.000": (1299000, "USD"),
    "12 345 678,90": (12345678.9, ""),
    "~250€": (250, "EUR"),
    "250€ VHB": (250, "EUR"),
    "GBP250": (250, "GBP"),
    "Preis: 120 Euro": (120, "EUR"),
    "$12.": (12, "USD"),
    "99c": (0.99, ""),
    "1 250 lei": (1250, "RON"),
    "172.2250001": (172.2250001, ""),
    " 45 ": (45, ""),
}
UNREAD = {
    "": "empty",
    "-": "empty",
    "VB": "no number",
    "price on request": "no number",
    "N/A": "no number",
    "inf": "no number",
    "0": "zero",
    "0,00 €": "zero",
    "-5,00 €": "negative",
    "−5": "negative",
    "100-150 €": "a range",
    "100 € – 150 €": "a range",
    "1 200 - 1 400 zł": "a range",
    "100 bis 150 EUR": "a range",
    "statt 399 € jetzt 299 €": "several numbers",
    "3 x 100 €": "several numbers",
    "249 zł/mies.": "an instalment",
    "ab 12,50 € mtl.": "an instalment",
    "20%": "a percentage",
}


@pytest.mark.parametrize(("text", "expected"), READ.items())
def test_a_price_is_read_with_its_currency(text, expected):
    found = read_price(text)
    assert (found.value, found.currency, found.note) == (
        pytest.approx(expected[0]),
        expected[1],
        "",
    )


@pytest.mark.parametrize(("text", "why"), UNREAD.items())
def test_what_is_no_price_says_why(text, why):
    found = read_price(text)
    assert isnan(found.value)
    assert found.note == why


def test_the_lowest_of_several_is_read_and_said_to_be_that():
    assert read_price("ab 249 EUR") == Price(249.0, "EUR", "from")
    assert read_price("od 1 299 zł") == Price(1299.0, "PLN", "from")


def test_a_column_says_what_parts_thousands():
    assert [price.value for price in read_prices(["1.299", "45,50"])] == [1299, 45.5]
    assert [price.value for price in read_prices(["1,299", "45.50"])] == [1299, 45.5]
    assert [price.value for price in read_prices(["1.299", "2.499 €"])] == [1299, 2499]
    assert [price.value for price in read_prices(["1.299", "45.5"])] == [1.299, 45.5]
    assert decimal_mark(["3.500", "4.250"]) == "."  # a weight: no price


def test_currencies_are_known_by_code_sign_and_word():
    assert list(map(currency_of, ["eur", "€", "zł", "Kč", "XAU", "", "euros", "???"])) == [
        "EUR",
        "EUR",
        "PLN",
        "CZK",
        "XAU",
        "",
        "EUR",
        "",
    ]
