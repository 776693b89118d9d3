#!/usr/bin/env bash
# Version:  Babel 2.18.0 and 2.19.0, price-parser 0.5.1, Python 3.11.
# Expected: what `format_currency` or `format_decimal` wrote for a locale, `parse_decimal` reads for that locale, also
#           after an upgrade; a parser of prices reads it or says that it cannot.
# Seen:     for Switzerland 2.18.0 writes thousands with U+2019 and 2.19.0 with the straight apostrophe, and each
#           refuses the other's as "not a valid decimal number". price-parser reads 2.19.0's rightly, and of
#           2.18.0's 1,299.00 francs the number 1, without a word.
# Matters:  files of prices outlive the library that wrote them: after a minor upgrade of it a feed of last month is
#           faulty, and who reads it by price-parser has a card for one franc.
# Public:   https://github.com/scrapinghub/price-parser/issues/61 asked for the straight apostrophe alone.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
for version in 2.18.0 2.19.0; do
  "$folder/venv/bin/pip" install --quiet "Babel==$version" 'price-parser==0.5.1'
  "$folder/venv/bin/python" - "$version" <<'PY'
import sys
from decimal import Decimal

from babel.numbers import NumberFormatError, format_currency, parse_decimal
from price_parser import Price

version, price = sys.argv[1], Decimal("1299.00")


def read(text):
    try:
        return parse_decimal(text, locale="de_CH")
    except NumberFormatError:
        return None


own = format_currency(price, "CHF", locale="de_CH").replace("CHF\N{NO-BREAK SPACE}", "")
forms = {"typographic": "1\N{RIGHT SINGLE QUOTATION MARK}299.00", "straight": "1'299.00"}
writes = next(name for name, form in forms.items() if form == own)
found = {name: (read(form), Price.fromstring(f"CHF {form}").amount) for name, form in forms.items()}
for name, (babel, parser) in found.items():
    print(f"Babel {version} writes the {writes:11} apostrophe; of {forms[name]!a:15} it reads {babel}, price-parser {parser}")
expected = {"2.18.0": ("typographic", price, None), "2.19.0": ("straight", None, price)}[version]
if (writes, found["typographic"][0], found["straight"][0]) != expected or [f[1] for f in found.values()] != [1, price]:
    sys.exit("Swiss prices are written or read otherwise now: read findings/README.md again")
PY
done
