#!/usr/bin/env bash
# Version:  pyarrow 26.0.1, polars 2.1.0, Python 3.11.
# Expected: ten rows cut out of a table are sent to another process as ten rows: `table.slice(5, 10).nbytes` is 145,
#           an IPC stream of them has some 600 bytes, and a polars frame that is cut likewise is pickled in under 1,000.
# Seen:     pickle writes all the memory that the slice looks into: 19 MB for ten rows of a million, and as much again
#           for each further slice, of tables, batches and arrays alike. What comes back holds that memory, too.
# Matters:  multiprocessing, joblib and concurrent.futures pickle what they hand out: a table given out in a thousand
#           slices is sent a thousand times over, and nothing in `nbytes` tells of it.
# Public:   https://github.com/apache/arrow/issues/26685
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'pyarrow==26.0.1' 'polars==2.1.0'
"$folder/venv/bin/python" - <<'PY'
import io
import pickle
import sys

import polars as pl
import pyarrow as pa

rows = 1_000_000
table = pa.table({"id": range(rows), "title": [f"x{row}" for row in range(rows)]})
cut = table.slice(5, 10)
stream = io.BytesIO()
with pa.ipc.new_stream(stream, cut.schema) as writer:
    writer.write_table(cut)
sizes = {
    "nbytes of the slice": cut.nbytes,
    "IPC stream of it": len(stream.getvalue()),
    "polars slice, pickled": len(pickle.dumps(pl.from_arrow(table).slice(5, 10))),
    "table slice, pickled": len(pickle.dumps(cut)),
    "batch slice, pickled": len(pickle.dumps(table.to_batches()[0].slice(5, 10))),
    "array slice, pickled": len(pickle.dumps(table.column("id").chunk(0).slice(5, 10))),
    "whole table, pickled": len(pickle.dumps(table)),
}
for name, size in sizes.items():
    print(f"{name:22} {size:>11,} bytes")
back = pickle.loads(pickle.dumps(cut))
print(f"{'memory behind it then':22} {back.get_total_buffer_size():>11,} bytes")
small = [name for name, size in sizes.items() if size < 2_000]
if small != ["nbytes of the slice", "IPC stream of it", "polars slice, pickled"]:
    sys.exit(f"slices are pickled otherwise now: read findings/README.md again {small}")
PY
