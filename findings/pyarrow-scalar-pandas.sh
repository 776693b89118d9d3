#!/usr/bin/env bash
# Version:  pyarrow 26.0.1 with pandas 3.1.1 installed beside it, Python 3.11.
# Expected: pandas is imported by what takes or gives pandas objects: `Table.from_pandas`, `to_pandas`.
# Seen:     the first `pa.scalar(1)`, and so the first `pa.array` of a plain list or of a numpy array, imports
#           pandas where it is installed, to find out whether its argument is one of pandas' objects. Arrays
#           made of buffers, `Array.from_buffers`, and `pa.nulls` do not.
# Matters:  a command that answers one title, or a worker process that writes Arrow columns of numbers, pays
#           for a library it never uses: some tenths of a second and tens of megabytes for each process, only
#           on machines where something else has installed pandas, so that it shows in no clean test.
# Public:   https://arrow.apache.org/docs/python/pandas.html tells of conversions from and to pandas objects,
#           not of this.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'pyarrow==26.0.1' 'pandas==3.1.1'
"$folder/venv/bin/python" - <<'PY'
import subprocess
import sys

WAYS = {
    "scalar of a number": "pa.scalar(1)",
    "array of a list": "pa.array([1, 2])",
    "array of numpy's": "pa.array(np.arange(2))",
    "nulls": "pa.nulls(2)",
    "array of a buffer": "pa.Array.from_buffers(pa.int64(), 2, [None, pa.py_buffer(np.arange(2))])",
}
EXPECTED = {name: not name.startswith(("nulls", "array of a buffer")) for name in WAYS}

found = {}
for name, code in WAYS.items():
    program = f"import sys, numpy as np, pyarrow as pa; {code}; print('pandas' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    found[name] = said.stdout.strip() == "True"
    print(f"{name:20} {'imports pandas' if found[name] else 'does not'}")
if found != EXPECTED:
    sys.exit("pyarrow imports pandas at other calls now: read findings/README.md again")
PY
