#!/usr/bin/env bash
# Version:  DuckDB 2.0.1, Python 3.11.
# Expected: what a query shows and what `COPY ... TO` writes of it are one number, or the export refuses; a sum of
#           whole numbers stays a whole number.
# Seen:     `sum` of BIGINT is a HUGEINT, and Parquet files get HUGEINT as DOUBLE, without a word: 2^53 + 1 shows as
#           9007199254740993 and is 9007199254740992.0 in the file. Two sums that differ become equal, so a join on
#           the exported key finds both. CSV and JSON keep the digits; `sum(x)::DECIMAL(38, 0)` keeps them in Parquet.
# Matters:  ids and sums of ids (checksums of feeds, keys of several parts) leave a database as other numbers, though
#           no type was ever written down that could not hold them.
# Public:   https://github.com/duckdb/duckdb/issues/21180
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'duckdb==2.0.1'
cd "$folder"
venv/bin/python - <<'PY'
import sys

import duckdb

con = duckdb.connect()
con.execute("CREATE TABLE parts AS SELECT * FROM (VALUES (1, 2::BIGINT ** 53), (2, 2::BIGINT ** 53)) t(shop, id)")
con.execute("ALTER TABLE parts ALTER id TYPE BIGINT")
con.execute("INSERT INTO parts VALUES (2, 1)")
sums = "SELECT shop, sum(id) AS total FROM parts GROUP BY shop ORDER BY shop"
shown = [total for _, total in con.execute(sums).fetchall()]
print("shown           ", shown)
found = {}
for name, query in {"parquet": sums, "csv": sums, "json": sums, "decimal.parquet": sums.replace("sum(id)", "sum(id)::DECIMAL(38, 0)")}.items():
    file = f"out.{name}"
    con.execute(f"COPY ({query}) TO '{file}'")
    found[name] = con.execute(f"SELECT any_value(typeof(total)), count(DISTINCT total) FROM '{file}'").fetchone()
    print(f"{name:16} {[total for _, total in con.execute(f'FROM {file!r}').fetchall()]}, {found[name][0]}")
same = con.execute("SELECT count(*) FROM 'out.parquet' a JOIN 'out.parquet' b USING (total)").fetchone()[0]
print("pairs of the two shops joined on the exported sum:", same)
expected = {"parquet": ("DOUBLE", 1), "csv": ("BIGINT", 2), "json": ("BIGINT", 2), "decimal.parquet": ("DECIMAL(38,0)", 2)}
if shown != [2**53, 2**53 + 1] or found != expected or same != 4:
    sys.exit(f"DuckDB writes sums otherwise now: read findings/README.md again {found}")
PY
