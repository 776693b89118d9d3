#!/usr/bin/env bash
# Version:  polars 2.1.0, pyarrow 26.0.1, DuckDB 2.0.1, pandas 2.3.3, Python 3.11.
# Expected: a Parquet file that a data frame library writes can be read by the others; a type that Parquet and Arrow
#           do not have is refused where it is written.
# Seen:     one id above 2^63 in JSON lines makes the column Int128 in polars, without being asked for.
#           `write_parquet` writes it; pyarrow then refuses the whole file, also when only another column is asked
#           for, pandas with it, and DuckDB reads 16 bytes of a BLOB, lowest first. In the Arrow stream the type is
#           called `_pli128`
#           and nobody else knows it. From the same JSON lines pyarrow makes DOUBLE, with other digits.
# Matters:  a feed with one long number is a file only polars can read, and the one who notices is the next step.
# Public:   https://github.com/pola-rs/polars/pull/23494 made it readable by polars itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'polars==2.1.0' 'pyarrow==26.0.1' 'duckdb==2.0.1' 'pandas==2.3.3'
cd "$folder"
venv/bin/python - <<'PY'
import pathlib
import sys

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.json
import pyarrow.parquet

pathlib.Path("feed.jsonl").write_text('{"id": 9223372036854775809, "title": "a"}\n{"id": 1, "title": "b"}\n')
frame = polars.read_ndjson("feed.jsonl")
frame.write_parquet("feed.parquet")
tries = {
    "polars, JSON lines": lambda: str(frame["id"].dtype),
    "pyarrow, JSON lines": lambda: str(pyarrow.json.read_json("feed.jsonl")["id"].type),
    "duckdb, JSON lines": lambda: str(duckdb.sql("SELECT id FROM 'feed.jsonl'").types[0]),
    "polars, its Parquet": lambda: str(polars.read_parquet("feed.parquet")["id"].dtype),
    "duckdb, its Parquet": lambda: str(duckdb.sql("SELECT id FROM 'feed.parquet'").types[0]),
    "pyarrow, its Parquet": lambda: str(pyarrow.parquet.read_table("feed.parquet")["id"].type),
    "pyarrow, titles of it": lambda: str(pyarrow.parquet.read_table("feed.parquet", columns=["title"])["title"].type),
    "pandas, its Parquet": lambda: str(pandas.read_parquet("feed.parquet")["id"].dtype),
    "pyarrow, its stream": lambda: str(pyarrow.table(frame)["id"].type),
}
found = {}
for name, attempt in tries.items():
    try:
        found[name] = attempt()
        print(f"{name:22} {found[name]}")
    except Exception as exc:
        found[name] = type(exc).__name__
        print(f"{name:22} {found[name]}: {str(exc).splitlines()[0][:90]}")
expected = ["Int128", "double", "HUGEINT", "Int128", "BLOB", "ArrowNotImplementedError", "ArrowNotImplementedError",
            "ArrowNotImplementedError", "ArrowInvalid"]
if list(found.values()) != expected:
    sys.exit("these read each other otherwise now: read findings/README.md again")
PY
