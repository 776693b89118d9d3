#!/usr/bin/env bash
# Version:  pyarrow 26.0.1, DuckDB 2.0.1, Python 3.11.
# Expected: a Parquet file that is read and written back without touching a column has that column as it was, or
#           the reader says which types it does not know.
# Seen:     pyarrow reads INTERVAL, TIME with time zone and VARIANT, which DuckDB writes, as what lies under them
#           (12 bytes, a time, a struct of binaries) and says nothing; written back the annotation is gone, and
#           DuckDB reads BLOB, TIME and STRUCT: `iv + date` fails, 08:00 UTC is 08:00 of nowhere, and `v.a` is not 1
#           any more. UUID and JSON come through.
# Matters:  a step of a pipeline that passes columns through changes their types for the steps behind it; all rows
#           and all bytes are there, so counts and checksums of values show nothing.
# Public:   https://github.com/apache/parquet-format/blob/master/LogicalTypes.md lists the annotations.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'pyarrow==26.0.1' 'duckdb==2.0.1'
cd "$folder"
venv/bin/python - <<'PY'
import sys

import duckdb
import pyarrow.parquet as pq

con = duckdb.connect()
con.execute("""
    COPY (SELECT INTERVAL '1 month 3 days' AS warranty, '10:00:00+02'::TIMETZ AS pickup,
                 '{"a": 1}'::JSON::VARIANT AS extra, '{"a": 1}'::JSON AS plain,
                 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::UUID AS key)
    TO 'feed.parquet'""")
table = pq.read_table("feed.parquet")
pq.write_table(table, "passed.parquet")


def types(file):
    return {name: kind.split("(")[0] for name, kind, *_ in con.execute(f"DESCRIBE FROM {file!r}").fetchall()}


before, after = types("feed.parquet"), types("passed.parquet")
for name, kind in before.items():
    print(f"{name:9} {kind:20} pyarrow: {str(table.schema.field(name).type)[:44]:45} written back: {after[name]}")
expected = {"warranty": "BLOB", "pickup": "TIME", "extra": "STRUCT"}
changed = {name: after[name] for name in before if after[name] != before[name]}
if changed != expected:
    sys.exit(f"other types are kept or lost now: read findings/README.md again {changed}")
PY
