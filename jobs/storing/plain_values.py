"""Values of a query as JSON knows them."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

_MICROSECOND = 1_000  # nanoseconds
_SECOND = 1_000_000  # microseconds


def plain(value: Any) -> Any:
    """Return a value that `json.dumps` takes: times in ISO 8601, UTC; NaN and infinity are null.

    Intervals are text as DuckDB writes and reads it: ``1 year 2 months 3 days 04:05:06``.
    """
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime):
        zoned = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return zoned.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list) and value and all(isinstance(part, tuple) for part in value):
        return {str(name): plain(part) for name, part in value}  # how Arrow gives a map
    if isinstance(value, pa.MonthDayNano):
        return _interval_text(value)
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return str(value)


def _interval_text(interval: pa.MonthDayNano) -> str:
    years, months = divmod(abs(interval.months), 12)
    sign = "-" if interval.months < 0 else ""
    parts = [
        f"{sign}{n} {word}{'' if n == 1 else 's'}"
        for n, word in ((years, "year"), (months, "month"))
        if n
    ]
    if interval.days:
        parts.append(f"{interval.days} day{'' if abs(interval.days) == 1 else 's'}")
    if interval.nanoseconds or not parts:
        seconds, micro = divmod(abs(interval.nanoseconds) // _MICROSECOND, _SECOND)
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        fraction = f".{micro:06}".rstrip("0") if micro else ""
        parts.append(f"{'-' if interval.nanoseconds < 0 else ''}{clock}{fraction}")
    return " ".join(parts)
