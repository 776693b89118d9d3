#!/usr/bin/env bash
# Version:  onnxruntime 1.31.1 (PyPI, Linux), Python 3.11.
# Expected: importing a library that runs graphs writes nothing outside of its folder and asks nobody; on Linux there
#           was no telemetry before, and `disable_telemetry_events()` switches it off where there is.
# Seen:     `import onnxruntime` alone, before any session, writes an id of the machine and a database into the user's
#           cache (XDG_CACHE_HOME or ~/.cache, Microsoft/DeveloperTools/.onnxruntime/deviceid and onnxruntime.db). Both
#           are there after `disable_telemetry_events()` too, which can only be called behind the import. With
#           ORT_DISABLE_TELEMETRY=1 in the environment before the import, set by Python itself or not, there is
#           neither. Under strace a process with a session that lived for 25 s asked DNS for the maker's events host,
#           mobile.events.data.microsoft.com; this script looks at the files only, which need no network to be seen.
# Matters:  a service that may not leave anything behind, or whose machines may not be told apart, does both by an
#           import; in a container the cache may not be writable, or be part of an image that is given away.
# Public:   https://onnxruntime.ai/docs/ and the repository's docs/Privacy.md tell of telemetry; strings of the wheel
#           name ORT_DISABLE_TELEMETRY.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'onnxruntime==1.31.1'
"$folder/venv/bin/python" - "$folder" <<'PY'
import os
import subprocess
import sys
from pathlib import Path

WAYS = {
    "import alone": "import onnxruntime",
    "disabled behind it": "import onnxruntime; onnxruntime.disable_telemetry_events()",
    "variable before it": "import os; os.environ['ORT_DISABLE_TELEMETRY'] = '1'; import onnxruntime",
}
WRITTEN = {"deviceid", "onnxruntime.db"}
EXPECTED = {"import alone": WRITTEN, "disabled behind it": WRITTEN, "variable before it": set()}

found = {}
for name, program in WAYS.items():
    cache = Path(sys.argv[1]) / name.replace(" ", "-")
    cache.mkdir()
    own = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    program += "; import time; time.sleep(3)"
    subprocess.run([sys.executable, "-c", program], env={**own, "XDG_CACHE_HOME": str(cache)}, check=True)
    files = [path for path in cache.rglob("*") if path.is_file()]
    found[name] = {path.name for path in files} & WRITTEN
    print(f"{name}: {', '.join(sorted(str(path.relative_to(cache)) for path in files)) or 'nothing'}")
if found != EXPECTED:
    sys.exit("onnxruntime does otherwise now: read findings/README.md again")
PY
