"""Look at a table of products and propose what its columns hold: the catalogue of `rerank init`.

A header's words say what a column should hold, its cells whether it can be that.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import isnan
from pathlib import Path
from statistics import median
from unicodedata import combining, normalize

from rerank.domain import CatalogueProposal, ProposedColumn
from rerank.index.errors import ArtifactError, InputError
from rerank.packs.generic.catalogue import (
    Catalogue,
    Column,
    ListingFeed,
    clean_identifiers,
    read_numbers,
    read_products,
    write_catalogue,
)
from rerank.packs.generic.pack_data import HEADER_ROLES, Pack, gtin14, pack_names, read_pack
from rerank.packs.generic.product_models import models_of, plain
from rerank.packs.generic.product_table import (
    ProductTable,
    amount_of,
    amounts_of,
    read_table,
)
from rerank.prices import CURRENCIES

_SAMPLE_ROWS = 20_000
_NUMERIC, _MIXED = 0.9, 0.5
_CODED = 0.6
_SHORT_WORDS, _NAME_WORDS, _LONG_WORDS = 4, 8, 12
_FEW_DISTINCT = 0.5
_MANY_VARIANTS = 0.2
_TELLING_ROWS = 3
_ROWS_OF_GOODS = 2000
_OWN_COLUMNS, _OWN_SHARE, _GOODS_SHARE = 2, 0.2, 0.5  # that tell of a pack's goods
_UNSPACED = "\u3000"  # scripts behind it are written without blanks between words
_FLAGS = frozenset("true false yes no ja nein oui non si sí tak nie да нет y n".split())
_EXAMPLES = 3
RIGHT_COLUMNS = ("product_id", "product_ids")
"""The columns of a file of listings that say which products these sell."""
_PLAIN_STEMS = frozenset(
    "products product catalogue catalog items item articles export data list table feed input"
    " listing listings test sample".split()
)


def init_catalogue(
    products: Path, listings: Sequence[Path], target: Path, *, pack: str
) -> CatalogueProposal:
    """Propose a catalogue of a file of products, and write it.

    :raises ArtifactError: if the target exists.
    """
    if target.exists():
        raise ArtifactError(
            f"{target} exists already: edit it, remove it, or name another file with -o"
        )
    catalogue, found = propose(products, listings, pack=pack)
    notes = {
        each.name: "; ".join(filter(None, (" | ".join(each.examples), each.remark)))
        for each in found.columns
    }
    write_catalogue(
        beside(catalogue, target.parent), target, notes=notes, other_pack=found.other_pack
    )
    return found


def propose(
    products: Path, listings: Sequence[Path] = (), *, pack: str = "generic"
) -> tuple[Catalogue, CatalogueProposal]:
    """Propose a catalogue of a file of products, and read them with it.

    :param listings: files of listings to learn from.
    :returns: the catalogue, its files' paths as they were given; what was seen.
    :raises InputError: if a file cannot be read, no column holds names, or there are fewer than
        two products.
    :raises FaultsError: if ids stand twice.
    """
    known = read_pack(pack)
    missing = [path for path in (products, *listings) if not path.is_file()]
    if missing:
        raise InputError(f"{missing[0]}: expected a file, found none; check the path")
    table = read_table(products)
    catalogue, remarks = inferred(table, known)
    catalogue = replace(catalogue, listings=tuple(feed_of(path, known) for path in listings))
    read = read_products(catalogue)
    of_table = (remarks[""],) if "" in remarks else ()
    other = _other_pack(table, catalogue)
    if other:
        told = f"the table looks like {read_pack(other).many}: `--pack {other}` knows more of them"
        of_table = (*of_table, told)
    return catalogue, CatalogueProposal(
        many=catalogue.many,
        columns=tuple(
            _finding(table, name, catalogue, remarks.get(name, "")) for name in table.names
        ),
        remarks=(*of_table, *read.remarks),
        other_pack=other,
        n_rows=read.n_read,
        n_products=len(read.ids),
        n_models=len(read.models),
    )


def _other_pack(table: ProductTable, catalogue: Catalogue) -> str:
    """Return a pack beyond the catalogue's whose words its columns or products have, "" for none.

    These are headers that it alone knows, and what its goods are called.
    """
    known = read_pack(catalogue.pack)
    headers = [_header_words(name) for name in table.names]
    spoken = [name for role in ("name", "category") for name in catalogue.of_role(role)]
    rows = range(min(table.columns.num_rows, _ROWS_OF_GOODS))
    texts = zip(*(table.texts(name, rows) for name in spoken), strict=True)
    said = [set(_header_words(" ".join(cells).lower())) for cells in texts]
    for pack in map(read_pack, pack_names()):
        if pack.extends != known.name:
            continue
        own = _headers_known(pack) - _headers_known(known)
        goods = [_header_words(word) for words in pack.goods.values() for word in words]
        whole = {words[0] for words in goods if len(words) == 1}
        of_columns = sum(words in own for words in headers)
        of_rows = sum(not whole.isdisjoint(words) for words in said)
        if of_columns >= max(_OWN_COLUMNS, _OWN_SHARE * len(headers)):
            return pack.name
        if of_rows >= _GOODS_SHARE * max(len(said), 1):
            return pack.name
    return ""


def _headers_known(pack: Pack) -> set[tuple[str, ...]]:
    of_roles = {phrase for role in HEADER_ROLES for phrase in _phrases(pack.name, role)}
    return of_roles | {_header_words(h) for unit in pack.units.values() for h in unit.headers}


def beside(catalogue: Catalogue, folder: Path) -> Catalogue:
    """Return a catalogue whose files are named from a folder."""

    def named(file: str) -> str:
        return Path(os.path.relpath(file, folder)).as_posix()

    return replace(
        catalogue,
        products=named(catalogue.products),
        listings=tuple(replace(feed, file=named(feed.file)) for feed in catalogue.listings),
    )


def inferred(table: ProductTable, pack: Pack) -> tuple[Catalogue, dict[str, str]]:
    """Return the catalogue that a table suggests, and remarks by column.

    :raises InputError: if no column can hold names.
    """
    looks = {name: _look(table, name, pack) for name in table.names}
    if not any(look.claims for look in looks.values()):
        data = [name for name in looks if not isnan(amount_of(name).value)]
        if data:
            raise InputError(
                f"{table.source}: expected names of columns in the first line, found {data[0]!r}; "
                "add a line such as id,name"
            )
    roles = {name: _role_of(look) for name, look in looks.items()}
    name = _choose_name(looks, roles, table)
    key = _choose_id(looks, roles, table, name)
    _settle_axes(looks, roles, table, pack)
    remarks = {each: look.remark(roles[each]) for each, look in looks.items()}
    if not key:
        remarks[""] = (
            "no column tells products apart: ids are numbers of rows, which another order changes"
        )
    one, many = _goods_of(table.source, pack)
    catalogue = Catalogue(
        products=str(table.source),
        id=key,
        pack=pack.name,
        one=one,
        many=many,
        columns={
            each: Column(role=roles[each], unit=look.unit_for(roles[each]))
            for each, look in looks.items()
            if each != key or roles[each] == "identifier"
        },
    )
    return catalogue, remarks


def feed_of(path: Path, pack: Pack, *, most_rows: int | None = None) -> ListingFeed:
    """Return which columns of a file of listings hold what.

    :param most_rows: that are looked at, the first ones; all by default.
    :raises InputError: if it cannot be read or no column holds titles.
    """
    table = read_table(path, most_rows=most_rows)
    looks = {name: _look(table, name, pack) for name in table.names}
    roles = {name: _role_of(look) for name, look in looks.items()}
    title = _choose_name(looks, roles, table, "listings' titles", "title")
    of_listings = {name: look for name, look in looks.items() if name not in RIGHT_COLUMNS}
    key = _choose_id(of_listings, roles, table, title) or _choose_id(looks, roles, table, title)

    def first(role: str) -> str:
        return next((name for name, own in roles.items() if own == role and name != key), "")

    def described(name: str) -> bool:
        look = looks[name]
        told = any(role == "text" or whole for role, whole in look.claims)
        return roles[name] == "text" and (told or look.words > _LONG_WORDS)

    return ListingFeed(
        file=str(path),
        title=title,
        listing_id=key,
        vendor=first("brand"),
        description=next(filter(described, roles), ""),
        price=first("price"),
        identifiers=tuple(
            name
            for name, own in roles.items()
            if own == "identifier" and name not in (key, *RIGHT_COLUMNS)
        ),
    )


@dataclass(frozen=True, slots=True)
class _Look:
    """What a column's header says and its cells look like, by shares of those that are filled.

    :param claims: roles that the header names, the surest first, and whether it says no more.
    :param unit: that header or cells state or suggest, as it is spelled.
    :param numeric: share that are numbers, a known unit or currency beside them or none.
    """

    header: str
    claims: tuple[tuple[str, bool], ...]
    unit: str
    filled: float
    distinct: float
    numeric: float
    money: float
    words: float
    coded: float
    codes: float
    gtins: float
    url: float
    n_rows: int
    n_distinct: int
    is_flag: bool
    odd: str
    unit_remark: str

    def claims_role(self, role: str) -> bool:
        return any(claimed == role for claimed, _ in self.claims)

    @property
    def is_constant(self) -> bool:
        """Whether all cells say the same, which tells no product apart; a brand all the same."""
        alike = self.n_distinct == 1 and self.filled == 1 and self.n_rows >= _TELLING_ROWS
        return alike and not {"brand", "name", "price"} & {role for role, _ in self.claims}

    @property
    def is_counter(self) -> bool:
        """Whether the cells are bare numbers under a header that says no more than "item"."""
        told = self.unit or self.money or {role for role, _ in self.claims} - {"name"}
        return self.numeric == 1 and not told

    @property
    def is_telling(self) -> bool:
        """Whether the cells are codes that stand in no text by chance."""
        return self.codes >= _NUMERIC

    @property
    def is_coded(self) -> bool:
        """Whether the cells are short, hold digits, and tell rows apart."""
        return self.words < 1.5 and min(self.distinct, self.coded) > _CODED

    def unit_for(self, role: str) -> str:
        return self.unit if role in ("number", "axis") and self.numeric >= _NUMERIC else ""

    def remark(self, role: str) -> str:
        """Return what is odd about the column in its role, "" for nothing."""
        if not self.filled:
            return "empty"
        if self.is_constant:
            rounded = "; if a spreadsheet has rounded it, export it as text"
            return "the same in all rows" + rounded * self.claims_role("identifier")
        if _MIXED <= self.numeric < _NUMERIC and role in ("category", "text"):
            return f"mixed: {self.numeric:.0%} numbers, the rest text such as {self.odd!r:.30}"
        if role == "number" and not self.unit:
            return "no unit stated"
        return self.unit_remark if role in ("number", "axis") else ""


def _look(table: ProductTable, name: str, pack: Pack) -> _Look:
    n_rows = table.columns.num_rows
    step = max(1, n_rows // _SAMPLE_ROWS)
    rows = range(0, n_rows, step) if step > 1 else None
    texts = table.texts(name, rows, frozenset(pack.missing))
    said = list(filter(None, texts))
    of = max(len(said), 1)
    scales = pack.scales()
    amounts = amounts_of(said, scales)
    numeric = [
        not isnan(a.value) and (not a.unit or a.unit in scales or a.unit in CURRENCIES)
        for a in amounts
    ]
    money = sum(a.unit in CURRENCIES and a.unit not in scales for a in amounts) / of
    measured = sum(numeric) >= _NUMERIC * of and money < _MIXED
    unit, told = _unit_of(name, said if measured else [], pack)
    cleaned, _ = clean_identifiers(said)
    return _Look(
        header=name,
        claims=_claims(name, pack),
        unit=unit,
        filled=len(said) / max(len(texts), 1),
        distinct=len(set(said)) / of,
        numeric=sum(numeric) / of,
        money=money,
        words=sum(len(text.split()) for text in said) / of,
        coded=sum(any(c.isdigit() for c in text) for text in said) / of,
        codes=sum(_CODE.match(text) is not None for text in said) / of,
        gtins=sum(bool(keys) and all(map(gtin14, keys)) for keys in cleaned) / of,
        url=sum(text.startswith(("http://", "https://", "www.")) for text in said) / of,
        n_rows=len(texts),
        n_distinct=len(set(said)),
        is_flag=bool(said) and {text.lower() for text in said} <= _FLAGS | CURRENCIES,
        odd=next((text for text, number in zip(said, numeric, strict=True) if not number), ""),
        unit_remark=told,
    )


# Letters and digits, six characters at least
_CODE = re.compile(r"(?=[^a-zA-Z]*[a-zA-Z])(?=\D*\d)[\w./-]{6,}$")
_UMLAUT = re.compile("(?<=[aou])e")
_HEADER_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+|[\"″°]\w?")


def _header_words(header: str) -> tuple[str, ...]:
    """Return the words of a header: `productName`, `product_name` and `Product Name` are alike.

    So are "Größe" and "Groesse". Accents go first: none of them ends a word.
    """
    if not header.isascii():
        header = normalize("NFKD", header.replace("ß", "ss"))
        header = "".join(letter for letter in header if not combining(letter))
    return tuple(_UMLAUT.sub("", word.lower()) for word in _HEADER_WORD.findall(header))


def _claims(header: str, pack: Pack) -> tuple[tuple[str, bool], ...]:
    """Return the roles whose words a header holds: whole headers first, then the longest.

    Of parts as long, names come last: a "product brand" is a brand.
    """
    words = _header_words(header)
    found = []
    for at, role in enumerate(HEADER_ROLES):
        phrases = _phrases(pack.name, role)
        longest = max((len(phrase) for phrase in phrases if _holds(words, phrase)), default=0)
        if longest or (words and words[-1].endswith(_endings(pack.name, role))):
            partly = longest != len(words)
            found.append((partly, -longest, partly and role == "name", at, role))
    return tuple((role, not partly) for partly, *_, role in sorted(found))


@lru_cache
def _phrases(pack: str, role: str) -> tuple[tuple[str, ...], ...]:
    """Return the words that headers of a role are made of, as `_header_words` splits them."""
    return tuple(dict.fromkeys(map(_header_words, read_pack(pack).header_words(role))))


@lru_cache
def _endings(pack: str, role: str) -> tuple[str, ...]:
    """Return words of headers that other words end with, as in "Katalogpreis" or "产品价格"."""
    alone = [phrase[0] for phrase in _phrases(pack, role) if len(phrase) == 1]
    return tuple(word for word in alone if len(word) > 4 or (len(word) > 1 and word > _UNSPACED))


def _holds(words: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    n = len(phrase)
    return any(words[at : at + n] == phrase for at in range(len(words) - n + 1)) if n else False


_IN_BRACKETS = re.compile(r"[(\[]([^)\]]{1,12})[)\]]\s*$")


def _unit_of(header: str, numbers: Sequence[str], pack: Pack) -> tuple[str, str]:
    """Return the unit of a column of numbers as it is spelled, "" for none, and a remark on it.

    Its cells come first, then what the header states, then what such a header is usually in.
    """
    if not numbers:
        return "", ""
    scales = pack.scales()
    base, values, _ = read_numbers(numbers, "", pack)
    if base:  # "times" is written "x"
        return base if base in scales else next(iter(pack.units[base].spellings.values()))[0], ""
    words = _header_words(header)
    guess = _usual_unit(words, values, pack)
    if guess:
        return guess, f"unit guessed from {header!r}"
    bracketed = _IN_BRACKETS.search(header)
    spelled = bracketed[1].strip() if bracketed else _HEADER_WORD.findall(header)[-1]
    scale = scales.get(plain(spelled))
    if scale is None or (len(words) == 1 and not bracketed):
        return "", ""
    if len(spelled) == 1 and spelled.isupper():  # the wide end of a zoom is called "wide (W)"
        named = pack.units[scale.base].headers
        if not any(_holds(words, _header_words(header)) for header in named):
            return "", ""
    return plain(spelled), ""


def _usual_unit(words: tuple[str, ...], values: Sequence[float], pack: Pack) -> str:
    """Return the unit that such a header's numbers are in, by their size; "" for none."""
    known = [abs(value) for value in values if value == value and value]
    if not known:
        return ""
    middle = median(known)
    for unit in pack.units.values():
        if unit.usual and any(_header_words(header) == words for header in unit.headers):
            low, high = unit.usual
            for scale in sorted(unit.spellings, key=lambda scale: abs(scale - 1)):
                if low <= middle * scale <= high:
                    return unit.spellings[scale][0]
    return ""


def _role_of(look: _Look) -> str:
    """Return what a column holds, seen alone."""
    if not look.filled or look.url >= _MIXED or look.is_constant:
        return "ignored"
    if look.is_flag:
        return "kept"
    number = look.numeric >= _NUMERIC and look.gtins < _CODED
    fits = {
        "ignored": True,
        "price": look.numeric >= _MIXED,
        "identifier": look.words <= _SHORT_WORDS,
        "axis": look.words <= _SHORT_WORDS,
        "text": not number,
        "brand": not number and look.words <= _NAME_WORDS and look.coded < _MIXED,
        "category": not number and look.words <= _NAME_WORDS,
        "name": not number,
        "model": not number,
    }
    for role, whole in look.claims:
        if fits.get(role, False) and (whole or role != "ignored"):
            return role
        if role == "model" and look.is_coded:  # part numbers of digits only
            return "identifier"
    if number:
        return "price" if look.money >= _MIXED else "number"
    if look.gtins >= _CODED:
        return "identifier"
    if look.is_coded and look.numeric < _MIXED:
        return "identifier"
    if look.words > _LONG_WORDS:
        return "text"
    return "category" if look.distinct < _FEW_DISTINCT or look.words < 1.5 else "other"


def _choose_name(
    looks: Mapping[str, _Look],
    roles: dict[str, str],
    table: ProductTable,
    names: str = "products' names",
    ours: str = "name",
) -> str:
    """Settle which column holds names, and what becomes of the others that could.

    :param names: what they are called where there are none, ``ours`` our name of the column.
    :raises InputError: if none does.
    """
    named = [each for each in looks if roles[each] == "name"]
    models = [each for each in looks if roles[each] == "model"]
    spoken = [each for each in models if not looks[each].is_coded]
    wordy = [
        each
        for each in looks
        if roles[each] in ("other", "text", "category", "axis") and looks[each].words >= 1.2
    ]
    unnamed = [each for each in wordy if not looks[each].claims]
    described = [each for each in wordy if 2 <= looks[each].words <= _LONG_WORDS]
    told = [each for each in described if looks[each].claims_role("text")]
    pool = named or spoken or told or unnamed or models or described
    if not pool:
        raise InputError(
            f"{table.source}: expected a column of {names}, found columns "
            f"{', '.join(table.names)}; add one or call yours `{ours}`"
        )

    def fitness(each: str) -> tuple[bool, float]:
        look = looks[each]
        whole = any(role in ("name", "model") and exact for role, exact in look.claims)
        return whole, look.distinct * look.filled * min(look.words, 8)

    best = max(pool, key=fitness)
    for each in (*named, *models):
        look = looks[each]
        tells = look.distinct > _FEW_DISTINCT or look.codes >= _CODED
        if look.coded >= _CODED and tells and look.words <= 3:
            roles[each] = "identifier"
        else:
            roles[each] = "text" if look.words > 2 else "category"
    for each, role in roles.items():
        if role == "other":
            roles[each] = "text"
    roles[best] = "name"
    return best


def _choose_id(
    looks: Mapping[str, _Look], roles: dict[str, str], table: ProductTable, name: str
) -> str:
    """Return the column of ids, "" for none: what is called so, else what is different in each row.

    A part number may be both id and identifier.
    """
    import pyarrow.compute as pc

    def differs(each: str) -> bool:
        column = table.columns.column(each)
        return bool(
            looks[each].filled == 1 and pc.count_distinct(column).as_py() == table.columns.num_rows
        )

    def called(look: _Look) -> bool:
        return any(role == "id" and whole for role, whole in look.claims)

    compact = [each for each in looks if each != name and looks[each].words <= 2]
    claiming = [each for each in compact if called(looks[each])]
    parted = [each for each in compact if looks[each].claims_role("id") and differs(each)]
    identifiers = [each for each in compact if roles[each] == "identifier" and differs(each)]
    first = table.names[0]
    counted = [first] if first in compact and looks[first].is_counter and differs(first) else []
    unique = [each for each in claiming if differs(each)]
    key = next((pool[0] for pool in (unique, parted, claiming, identifiers, counted) if pool), "")
    for each, look in looks.items():  # another table's key, such as a group of variants
        own = not look.claims_role("identifier") and look.claims_role("id")
        if own and roles[each] in ("category", "identifier", "number"):
            roles[each] = "kept"
    if key and roles[key] != "identifier":
        alone = "identifier" not in roles.values()
        roles[key] = "identifier" if alone and looks[key].is_telling else "ignored"
    return key


class _Variants:
    """Tries columns as axes."""

    def __init__(
        self,
        looks: Mapping[str, _Look],
        roles: Mapping[str, str],
        table: ProductTable,
        pack: Pack,
    ) -> None:
        self._looks, self._table, self._pack = looks, table, pack
        self._rows = range(min(table.columns.num_rows, 10 * _SAMPLE_ROWS))
        self._names = self._texts(next(each for each in roles if roles[each] == "name"))
        brand = next((each for each in roles if roles[each] == "brand"), None)
        self._brands = self._texts(brand) if brand else [""] * len(self._rows)

    def _texts(self, name: str) -> list[str]:
        return self._table.texts(name, self._rows, frozenset(self._pack.missing))

    def _models(self, axes: Sequence[str]) -> tuple[list[int], dict[str, list[str]]]:
        """Return the number of each product's model, and its value on each axis."""
        values = {each: self._texts(each) for each in axes}
        units = [self._looks[each].unit_for("axis") for each in axes]
        found = models_of(self._names, self._brands, list(values.values()), units, self._pack)
        return found.of_record.tolist(), values

    def shares(self, axes: Sequence[str]) -> dict[str, float]:
        """Return by axis the share of products that have a variant which differs in it."""
        models, values = self._models(axes)
        shares = {}
        for each in axes:
            met: defaultdict[int, set[str]] = defaultdict(set)
            for number, value in zip(models, values[each], strict=True):
                met[number].add(value)
            shares[each] = sum(len(met[number]) > 1 for number in models) / len(models)
        return shares

    def implied(self, axis: str, axes: Sequence[str]) -> bool:
        """Tell whether models and variants are the same without an axis."""
        models, values = self._models(axes)
        others = [each for each in axes if each != axis]
        if not others or self._models(others)[0] != models:
            return False
        kept = [values[each] for each in others]
        with_it = len(set(zip(models, *kept, values[axis], strict=True)))
        return with_it == len(set(zip(models, *kept, strict=True)))


def _settle_axes(
    looks: Mapping[str, _Look], roles: dict[str, str], table: ProductTable, pack: Pack
) -> None:
    """Keep as axes the columns that tell apart products which are equal without their values.

    Of those that are called so, any such product will do; of others it takes a good part of the
    catalogue, since "washer" and "dryer" too may be all that two names differ in. What weighs more
    because it is larger is no axis beside the size.
    """
    axes = [each for each, role in roles.items() if role == "axis"]
    others = [
        each
        for each, role in roles.items()
        if role == "category"
        and looks[each].words <= _SHORT_WORDS
        and looks[each].distinct < _FEW_DISTINCT
    ]
    if not axes and not others:
        return
    variants = _Variants(looks, roles, table, pack)
    for each in others:
        if variants.shares([*axes, each])[each] >= _MANY_VARIANTS:
            axes.append(each)
    shares = variants.shares(axes)
    for each in axes[::-1]:
        partly = ("axis", True) not in looks[each].claims
        if not shares[each] or (partly and variants.implied(each, axes)):
            axes.remove(each)
            shares = variants.shares(axes)
            roles[each] = "number" if looks[each].numeric >= _NUMERIC else "category"
    for each in axes:
        roles[each] = "axis"


def _finding(table: ProductTable, name: str, catalogue: Catalogue, remark: str) -> ProposedColumn:
    texts = table.texts(name, range(min(table.columns.num_rows, _SAMPLE_ROWS)))
    said = [text for text in texts if text]
    common = Counter(said).most_common(_EXAMPLES)
    column = catalogue.columns.get(name, Column(role="ignored"))
    role = column.role
    if name == catalogue.id:
        role = "id" if role == "ignored" else f"id, {role}"
    return ProposedColumn(
        name=name,
        role=role,
        unit=column.unit,
        filled=len(said) / max(len(texts), 1),
        examples=tuple(" ".join(text.split())[:30] for text, _ in common),
        remark=remark,
    )


def _goods_of(source: Path, pack: Pack) -> tuple[str, str]:
    """Return what one product and several are called: by the file's name, where it says."""
    words = re.findall(r"[^\W\d_]+", source.name.partition(".")[0].lower())
    if pack.one != "product" or not words or _PLAIN_STEMS & set(words):
        return pack.one, pack.many
    last = words[-1]
    if not last.endswith("s") or last.endswith("ss") or len(last) < 4:
        return pack.one, pack.many
    single = re.sub(r"(?<=[^aeiou])ies$", "y", last)
    single = re.sub(r"(?<=ch|sh)es$|(?<=[xz])es$", "", single) if single == last else single
    single = single.removesuffix("s") if single == last else single
    return " ".join([*words[:-1], single]), " ".join(words)
