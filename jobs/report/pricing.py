"""What models sell for: prices of resolved listings by model, variant and day, and odd offers.

DuckDB reads the files and sorts on disk what does not fit into a gigabyte. A listing counts by how
sure its answer is: for its model by `match_probability`, for its variant by that times
`variant_probability`. Currencies are never mixed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from markupsafe import Markup

from rerank.index.errors import InputError
from rerank.jobs.files.listings import OUR_NAMES
from rerank.jobs.files.places import Place
from rerank.jobs.report.page import rendered
from rerank.jobs.report.plots import WIDTH, box, dot, element, line, path
from rerank.jobs.scoring.plan import columns_of_output, read_schema
from rerank.jobs.tables import cut, plural, table
from rerank.prices import (
    EMPTY,
    NEGATIVE,
    NO_NUMBER,
    ZERO,
    currency_of,
    read_prices,
)
from rerank.store.database import Session, scratch

OUTLIER, BARGAIN = 3.5, 2.0
"""How many robust deviations from the median make a price odd, and one below it a bargain.

The deviation is ``.6745 (ln price - median) / MAD``, both weighted; beyond 3.5 an observation is an
outlier after Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993), chapter 3.
"""
_LEAST_SPREAD = 0.05  # of the logarithm: where most ask one price, cents do not make an outlier
_OFFERS_OF_A_DAY, _OFFERS = 8, 5  # fewer are held against all days; fewer than these against none
_DAYS_OF_A_TREND = 3
_READ_AT_ONCE = 200_000
_NAMED, _ON_PAGE, _ODD_ON_PAGE, _ON_SCREEN, _ODD_ON_SCREEN = 5, 1500, 200, 15, 5
_DAY_IN_NAME = re.compile(r"(?<!\d)(20\d\d)-?([01]\d)-?([0-3]\d)(?!\d)")
NO_DAY = "no day"


@dataclass(frozen=True, slots=True)
class PriceReport:
    """What came of it.

    :param figures: a row for each model or variant (``level``), currency and day, and one without
        day for all days.
    :param odd: bargains and suspicious offers, with ``deviation`` and ``usual`` price.
    :param unread: prices that could not be read: why, how many, some of them.
    :param n_offers: accepted listings with a price.
    """

    figures: pa.Table
    odd: pa.Table
    unread: Sequence[tuple[str, int, str]]
    n_rows: int
    n_offers: int
    days: Sequence[date]

    def totals(self) -> list[dict[str, Any]]:
        """Return the rows over all days, those with most offers first.

        A model that sells in one variant is told of as that alone.
        """
        rows = [row for row in self.figures.to_pylist() if row["day"] is None]
        variants = Counter(_kind(row) for row in rows if row["level"] == "variant")
        rows = [row for row in rows if row["level"] == "variant" or variants[_kind(row)] > 1]
        return sorted(rows, key=lambda row: (-row["offers"], row["model"], row["variant"] or ""))


def _kind(row: dict[str, Any]) -> tuple[str, str]:
    return row["model"], row["currency"]


def price_report(
    sources: Sequence[Place],
    columns: Mapping[str, str | None],
    *,
    review: bool = False,
) -> PriceReport:
    """Read the prices of resolved files.

    :param columns: the columns ``price``, ``currency`` and ``day``, None for those that are looked
        for; without a column of days the day of a file counts: of its name, its folder's, or when
        it was written.
    :param review: count listings held for review, too, by their probabilities.
    :raises InputError: if a file has no answers or no prices.
    """
    with TemporaryDirectory(prefix="rerank-prices-") as folder, scratch(Path(folder)) as session:
        session.execute("make tables", _TABLES)
        for number, source in enumerate(sources):
            _read(session, number, _file_of(source, columns), review=review)
        session.execute("weigh offers", _OFFERS_SQL)
        for name, by_day in (("daily", "day"), ("total", "NULL::DATE")):
            session.execute("find quartiles", _figures_sql(name, by_day))
        session.execute("find deviations", _DEVIATIONS_SQL)
        figures = _with_trends(session.table("read figures", _ALL_FIGURES))
        odd = _told(session, [_file_of(source, columns) for source in sources])
        unread = session.rows("count what was not read", _UNREAD)
        ((n_rows, n_offers),) = session.rows("count", _COUNTS)
        days = [
            day for (day,) in session.rows("list days", "SELECT DISTINCT day FROM offer") if day
        ]
    return PriceReport(figures, odd, unread, n_rows, n_offers, sorted(days))


def _file_of(source: Place, columns: Mapping[str, str | None]) -> dict[str, Any]:
    """Find which columns of a file hold what, as SQL; ``plain`` says which prices are numbers.

    :raises InputError: if it lacks some.
    """
    if source.local is None or source.suffix != ".parquet":
        raise InputError(
            f"{source}: expected a parquet file of this machine, as `rerank score` writes it; "
            "score the listings into parquet, or copy the file here"
        )
    try:
        schema = read_schema(source)
    except (pa.ArrowException, OSError) as exc:
        raise InputError(f"{source}: cannot be read as parquet: {exc}") from exc
    names = schema.names
    cards = "gpu_id" in names
    missing = {"decision", "match_probability", "best_guess"} - set(names)
    if missing or not (cards or "product_id" in names):
        raise InputError(
            f"{source}: expected answers of `rerank score`, found no column "
            f"{', '.join(sorted(missing)) or 'gpu_id'}; score the listings first"
        )
    named = columns_of_output(source, OUR_NAMES)
    price = _column(source, names, columns["price"], named.price, "--price-column")
    kind = schema.field(price).type
    text = f"trim(CAST({_quoted(price)} AS VARCHAR))"
    kinds = pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal
    is_number = any(of(kind) for of in kinds)
    day = f"DATE '{_day_of(source)}'"
    if columns["day"] is not None:
        own = _quoted(_column(source, names, columns["day"], "", "--day-column"))
        day = f"TRY_CAST({own} AS DATE)"
    currency = "''"
    if columns["currency"] is not None or "currency" in names:
        own = _column(source, names, columns["currency"], "currency", "--currency-column")
        currency = _quoted(own)
    variant = _quoted("name" if "name" in names else "product_id")
    return {
        "path": str(source.local),
        "key": _quoted("gpu_id" if cards else "product_id"),
        "model": _quoted("model" if cards else "best_guess"),
        "variant": _CARD if cards else variant,
        "price": text,
        "plain": "TRUE" if is_number else f"regexp_full_match({text}, {_PLAIN})",
        "currency": currency,
        "day": day,
        "sure": "coalesce(variant_probability, 1)" if "variant_probability" in names else "1",
        "listing_id": _quoted(named.listing_id) if named.listing_id in names else "NULL",
        "title": _quoted(named.title) if named.title in names else "NULL",
    }


_PLAIN = r"'\s*[0-9]+([.][0-9]{1,2})?\s*'"
_CARD = (
    "concat_ws(' ', model, CASE WHEN memory_gb >= 1 THEN format('{:g} GB', memory_gb) WHEN "
    "memory_gb > 0 THEN format('{:g} MB', memory_gb * 1024) END, nullif(form_factor, 'PCIe'))"
)


def _column(source: Place, names: Sequence[str], given: str | None, usual: str, option: str) -> str:
    """Return what a column of the input is called in its output.

    :raises InputError: if it is not there.
    """
    wanted = usual if given is None else given
    if wanted in names:
        return wanted
    raise InputError(
        f"{source}: expected a column {wanted!r}, found {', '.join(names[:12])}; name it with "
        f"{option}"
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _day_of(source: Place) -> str:
    """Return the day of a file: of its name, of a folder it lies in, or when it was written."""
    for part in reversed(Path(source.path).parts):
        for match in _DAY_IN_NAME.finditer(part):
            try:
                return date(*map(int, match.groups())).isoformat()
            except ValueError:
                continue
    assert source.local is not None
    return datetime.fromtimestamp(source.local.stat().st_mtime, UTC).date().isoformat()


_TABLES = """
CREATE TABLE said (file INTEGER, place BIGINT, key VARCHAR, model VARCHAR, variant VARCHAR,
    day DATE, price DOUBLE, text VARCHAR, currency VARCHAR, of_model DOUBLE, of_variant DOUBLE);
CREATE TABLE spelled (file INTEGER, text VARCHAR, value DOUBLE, currency VARCHAR, note VARCHAR);
CREATE TABLE named (text VARCHAR, currency VARCHAR);
CREATE TABLE counted (rows BIGINT);
"""


def _read(session: Session, number: int, file: Mapping[str, str], *, review: bool) -> None:
    """Read a file's accepted listings into ``said``, and how their prices are spelled."""
    wanted = "('match', 'review')" if review else "('match')"
    session.execute(
        f"read {file['path']}",
        f"""INSERT INTO said SELECT {number}, file_row_number, CAST({file["key"]} AS VARCHAR),
        CAST({file["model"]} AS VARCHAR), CAST({file["variant"]} AS VARCHAR), {file["day"]},
        CASE WHEN {file["plain"]} THEN TRY_CAST({file["price"]} AS DOUBLE) END,
        CASE WHEN {file["plain"]} THEN NULL ELSE coalesce({file["price"]}, '') END,
        trim(coalesce(CAST({file["currency"]} AS VARCHAR), '')), match_probability,
        match_probability * {file["sure"]}
        FROM read_parquet(?, file_row_number = true)
        WHERE decision IN {wanted} AND {file["key"]} IS NOT NULL""",
        [file["path"]],
    )
    session.execute(
        "count rows", "INSERT INTO counted SELECT count(*) FROM read_parquet(?)", [file["path"]]
    )
    spelled = session.table(
        "read spellings",
        "SELECT DISTINCT text FROM said WHERE file = ? AND text IS NOT NULL ORDER BY text",
        [number],
    ).column("text")
    texts = spelled.to_pylist()
    prices = read_prices(texts)
    for start in range(0, len(texts), _READ_AT_ONCE):
        part = prices[start : start + _READ_AT_ONCE]
        rows = pa.table(
            {
                "file": pa.array([number] * len(part), pa.int32()),
                "text": texts[start : start + _READ_AT_ONCE],
                "value": [price.value for price in part],
                "currency": [price.currency for price in part],
                "note": [price.note for price in part],
            }
        )
        session.insert("keep spellings", "spelled", rows)
    named = session.rows("read currencies", "SELECT DISTINCT currency FROM said")
    known = {text for (text,) in session.rows("known", "SELECT text FROM named")}
    fresh = [text for (text,) in named if text and text not in known]
    if fresh:
        codes = {"text": fresh, "currency": list(map(currency_of, fresh))}
        session.insert("keep currencies", "named", pa.table(codes))


_OFFERS_SQL = f"""
CREATE TABLE offer AS SELECT s.file, s.place, s.key, s.model, s.variant, s.day, s.of_model,
    s.of_variant, coalesce(p.value, s.price) AS price, s.text,
    coalesce(nullif(n.currency, ''), nullif(p.currency, ''), '') AS currency,
    CASE WHEN p.note = 'from' THEN NULL WHEN p.note <> '' THEN p.note
        WHEN p.text IS NULL AND s.price IS NULL THEN '{EMPTY}'
        WHEN coalesce(p.value, s.price) = 0 THEN '{ZERO}'
        WHEN coalesce(p.value, s.price) < 0 THEN '{NEGATIVE}'
        WHEN NOT isfinite(coalesce(p.value, s.price)) THEN '{NO_NUMBER}'
        WHEN s.day IS NULL THEN '{NO_DAY}' END AS note
FROM said s LEFT JOIN spelled p ON s.file = p.file AND s.text = p.text
    LEFT JOIN named n ON s.currency = n.text;
DROP TABLE said;
CREATE VIEW weighed AS
    SELECT 'model' AS level, '' AS key, model, '' AS variant, currency, day, price,
        greatest(of_model, 1e-9) AS weight, file, place FROM offer WHERE note IS NULL
    UNION ALL SELECT 'variant', key, model, variant, currency, day, price,
        greatest(of_variant, 1e-9), file, place FROM offer WHERE note IS NULL;
"""
_GROUP = "level, key, model, variant, currency"


def _figures_sql(name: str, day: str) -> str:
    """Return what finds weighted quartiles, and the median deviation of logarithms.

    A quantile is the lowest price up to which that share of the weight lies.
    """
    quantile = "min({0}) FILTER (upto >= {1} * whole - 1e-12)"
    return f"""
CREATE TABLE {name} AS WITH summed AS (
    SELECT {_GROUP}, {day} AS day, price, weight,
        sum(weight) OVER (PARTITION BY {_GROUP}, {day} ORDER BY price, file, place
            ROWS UNBOUNDED PRECEDING) AS upto,
        sum(weight) OVER (PARTITION BY {_GROUP}, {day}) AS whole
    FROM weighed
), quartile AS (
    SELECT {_GROUP}, day, count(*) AS offers, sum(weight) AS weight, min(price) AS lowest,
        {quantile.format("price", 0.25)} AS quartile_1, {quantile.format("price", 0.5)} AS median,
        {quantile.format("price", 0.75)} AS quartile_3, max(price) AS highest
    FROM summed GROUP BY ALL
), apart AS (
    SELECT {_GROUP}, day, deviation, sum(weight) OVER (PARTITION BY {_GROUP}, day
            ORDER BY deviation ROWS UNBOUNDED PRECEDING) AS upto,
        sum(weight) OVER (PARTITION BY {_GROUP}, day) AS whole
    FROM (SELECT s.level, s.key, s.model, s.variant, s.currency, s.day, s.weight,
            abs(ln(s.price / q.median)) AS deviation
        FROM summed s JOIN quartile q ON {_same("s", "q")} AND s.day IS NOT DISTINCT FROM q.day)
), spread AS (SELECT {_GROUP}, day, {quantile.format("deviation", 0.5)} AS mad
    FROM apart GROUP BY ALL)
SELECT q.*, s.mad FROM quartile q JOIN spread s ON {_same("q", "s")}
    AND q.day IS NOT DISTINCT FROM s.day
"""


def _same(one: str, other: str) -> str:
    return " AND ".join(f"{one}.{name} = {other}.{name}" for name in _GROUP.split(", "))


_DEVIATIONS_SQL = f"""
CREATE TABLE odd AS SELECT w.*, usual,
    .6745 * ln(w.price / usual) / greatest(mad, {_LEAST_SPREAD}) AS deviation
FROM (SELECT w.*, CASE WHEN d.offers >= {_OFFERS_OF_A_DAY} THEN d.median ELSE t.median END AS usual,
        CASE WHEN d.offers >= {_OFFERS_OF_A_DAY} THEN d.mad ELSE t.mad END AS mad
    FROM weighed w JOIN daily d ON {_same("w", "d")} AND w.day = d.day
        JOIN total t ON {_same("w", "t")}
    WHERE w.level = 'variant' AND greatest(t.offers, d.offers) >= {_OFFERS}) w
WHERE abs(deviation) > {OUTLIER} OR deviation <= -{BARGAIN};
"""
_ALL_FIGURES = f"""
WITH figures AS (SELECT * FROM daily UNION ALL SELECT * FROM total), outliers AS (
    SELECT level, key, model, variant, currency, day, count(*) AS n FROM odd
    WHERE abs(deviation) > {OUTLIER} GROUP BY GROUPING SETS (
        (level, key, model, variant, currency, day), (level, key, model, variant, currency)))
SELECT f.level, nullif(f.key, '') AS key, f.model, nullif(f.variant, '') AS variant, f.currency,
    f.day, f.offers, f.weight, f.lowest, f.quartile_1, f.median, f.quartile_3, f.highest,
    coalesce(o.n, 0) AS outliers
FROM figures f LEFT JOIN outliers o ON {_same("f", "o")} AND f.day IS NOT DISTINCT FROM o.day
ORDER BY f.level, f.model, f.variant, f.key, f.currency, f.day NULLS FIRST
"""
_UNREAD = f"""
SELECT note, count(*), array_to_string(list(DISTINCT text)[:{_NAMED}], ' | ')
FROM offer WHERE note IS NOT NULL GROUP BY note ORDER BY count(*) DESC, note
"""
_COUNTS = "SELECT (SELECT sum(rows) FROM counted), (SELECT count(*) FROM offer WHERE note IS NULL)"


def _with_trends(figures: pa.Table) -> pa.Table:
    """Add the change of the daily median over all days in percent, null where they are too few."""
    courses: dict[tuple[Any, ...], list[tuple[int, float]]] = defaultdict(list)
    names = ("level", "key", "model", "variant", "currency")
    keys = list(zip(*(figures.column(name).to_pylist() for name in names), strict=True))
    days, medians = figures.column("day").to_pylist(), figures.column("median").to_pylist()
    for key, day, median in zip(keys, days, medians, strict=True):
        if day is not None:
            courses[key].append((day.toordinal(), median))
    trends = [
        None if day is not None else _trend(courses[key])
        for key, day in zip(keys, days, strict=True)
    ]
    return figures.append_column("trend_percent", pa.array(trends, pa.float64()))


def _trend(course: Sequence[tuple[int, float]]) -> float | None:
    """Return what the median slope of logarithms between any two days (Theil and Sen) makes, in %.

    It is the change from the first day to the last.
    """
    if len(course) < _DAYS_OF_A_TREND:
        return None
    day, median = np.array(course, np.float64).T
    at, later = np.triu_indices(len(day), 1)
    slopes = (np.log(median[later]) - np.log(median[at])) / (day[later] - day[at])
    return round(100 * float(np.expm1((day[-1] - day[0]) * np.median(slopes))), 2)


_SHOWN_OF_ODD = "file, place, key, model, variant, currency, day, price, usual, weight, deviation"


def _told(session: Session, files: Sequence[Mapping[str, str]]) -> pa.Table:
    """Return odd offers with what their listings say, the oddest first."""
    session.execute(
        "make place", "CREATE TABLE told (file INTEGER, place BIGINT, id VARCHAR, title VARCHAR)"
    )
    for number, file in enumerate(files):
        session.execute(
            "read odd listings",
            f"""INSERT INTO told SELECT {number}, file_row_number, CAST({file["listing_id"]} AS
            VARCHAR), CAST({file["title"]} AS VARCHAR) FROM read_parquet(?, file_row_number = true)
            SEMI JOIN (SELECT place FROM odd WHERE file = {number}) o
            ON file_row_number = o.place""",
            [file["path"]],
        )
    return session.table(
        "read odd offers",
        f"""SELECT CASE WHEN abs(deviation) > {OUTLIER} THEN 'suspicious' ELSE 'bargain' END AS
        kind, t.id AS listing_id, t.title, {", ".join(f"o.{n}" for n in _SHOWN_OF_ODD.split(", "))}
        FROM odd o JOIN told t ON o.file = t.file AND o.place = t.place
        ORDER BY kind, deviation, o.file, o.place""",
    ).drop_columns(["place"])


def prices_text(report: PriceReport) -> str:
    """Return what is shown on screen: the models with most offers, and the oddest offers."""
    totals = report.totals()
    shown = totals[:_ON_SCREEN]
    rows = [
        [
            cut(row["variant"] or f"{row['model']} (all)", 30),
            row["currency"] or "-",
            f"{row['offers']:,}",
            *(amount(row[name]) for name in ("quartile_1", "median", "quartile_3")),
            "-" if row["trend_percent"] is None else f"{row['trend_percent']:+.1f}%",
        ]
        for row in shown
    ]
    days = report.days
    span = f", {days[0]} to {days[-1]}" if days else ""
    parts = [f"{plural(report.n_offers, 'price')} of {report.n_rows:,} listings{span}"]
    if rows:
        header = ("", "", "offers", "25 %", "median", "75 %", "trend")
        parts.append(table(header, rows, left=(0, 1)))
    if len(totals) > len(shown):
        parts.append(f"and {len(totals) - len(shown):,} more: --out FILE.parquet, --html FILE.html")
    for kind, words in (("bargain", "bargains"), ("suspicious", "suspicious, look before you use")):
        found = [row for row in report.odd.to_pylist() if row["kind"] == kind]
        if found:
            lines = [_odd_line(row) for row in found[:_ODD_ON_SCREEN]]
            more = f" (the first {_ODD_ON_SCREEN} of {len(found):,})"
            parts.append("\n".join([f"{words}{more if len(found) > len(lines) else ''}:", *lines]))
    if report.unread:
        lines = [
            cut(f"  {n:,} {why}{f': {some}' if some else ''}", 80) for why, n, some in report.unread
        ]
        parts.append("\n".join(["prices not read:", *lines]))
    return "\n\n".join(parts)


def _odd_line(row: dict[str, Any]) -> str:
    told = f"  {amount(row['price'])} {row['currency']} for {amount(row['usual'])}"
    return cut(f"{told}  {row['variant']}  {row['title'] or row['listing_id'] or ''}", 80)


def amount(value: float | None) -> str:
    """Write an amount of money: cents only of small ones."""
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def prices_page(report: PriceReport) -> str:
    """Return a page that can be filtered and loads nothing."""
    courses: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in report.figures.to_pylist():
        if row["day"] is not None:
            courses[_group(row)].append(row)
    totals = report.totals()
    rows = [{**row, "course": course(courses[_group(row)])} for row in totals[:_ON_PAGE]]
    odd = {
        kind: [row for row in report.odd.to_pylist() if row["kind"] == kind]
        for kind in ("bargain", "suspicious")
    }
    return rendered(
        "prices.html.j2",
        report=report,
        rows=rows,
        left_out=len(totals) - len(rows),
        odd={kind: found[:_ODD_ON_PAGE] for kind, found in odd.items()},
        n_odd={kind: len(found) for kind, found in odd.items()},
        currencies=sorted({row["currency"] for row in totals}),
        amount=amount,
        outlier=OUTLIER,
        below=BARGAIN,
    )


def _group(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["level"], row["key"], row["model"], row["currency"]


_TALL = 54.0


def course(days: Sequence[dict[str, Any]]) -> Markup:
    """Return medians and quartiles by day as a small picture; of one day, its quartiles."""
    if not days:
        return Markup()
    low, high = min(day["quartile_1"] for day in days), max(day["quartile_3"] for day in days)
    first, last = days[0]["day"].toordinal(), days[-1]["day"].toordinal()

    def x(day: dict[str, Any]) -> float:
        return (
            WIDTH / 2
            if first == last
            else 8 + (WIDTH - 16) * (day["day"].toordinal() - first) / (last - first)
        )

    def y(value: float) -> float:
        return _TALL / 2 if high == low else 6 + (_TALL - 12) * (high - value) / (high - low)

    lower = [(x(day), y(day["quartile_1"])) for day in days]
    upper = [(x(day), y(day["quartile_3"])) for day in days]
    middle = [(x(day), y(day["median"])) for day in days]
    if len(days) == 1:
        ((across, top),), ((_, bottom),) = upper, lower
        marks = [box(across - 6, top, 12, max(bottom - top, 1), "band")]
        marks.append(line(across - 6, middle[0][1], across + 6, middle[0][1], "curve"))
    else:
        marks = [path([*lower, *reversed(upper)], "band", closed=True), path(middle, "curve")]
        marks.append(dot(*middle[-1], 4, "dot own"))
    told = f"median {amount(days[0]['median'])} on {days[0]['day']}"
    if len(days) > 1:
        told += f", {amount(days[-1]['median'])} on {days[-1]['day']}"
    return element(
        "svg",
        element("title", told),
        *marks,
        viewBox=f"0 0 {WIDTH} {_TALL:g}",
        role="img",
        class_="course",
    )
