#!/usr/bin/env bash
# Version:  uvicorn 0.54.0, Python 3.11.
# Expected: on SIGTERM `uvicorn.run` stops gracefully and returns; what stands behind it runs, as after Ctrl-C in
#           other servers, and the process ends with status 0.
# Seen:     it stops gracefully, answering what is under way, then puts the handlers back that were there before it
#           and raises the signal once more. Without a handler of its own the process dies of it: nothing behind
#           `uvicorn.run` runs, no `finally` and no `atexit`, and the status is that of a process that was killed
#           (-15; a shell shows 143). With a handler set before the call, the call returns.
# Matters:  a service that counts, flushes or gives a lock back behind `uvicorn.run` loses that at each deployment,
#           though the log says that shutdown is complete; and who watches the status sees a crash where there
#           was none.
# Public:   https://www.uvicorn.org/server-behavior/#graceful-process-shutdown tells how it shuts down, not that
#           the call does not return.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'uvicorn==0.54.0'
"$folder/venv/bin/python" - <<'PY'
import signal
import subprocess
import sys
import time

SERVER = """
import atexit, signal, sys
import uvicorn

if sys.argv[1] == "handled":
    signal.signal(signal.SIGTERM, lambda *_: None)
atexit.register(print, "at exit", flush=True)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
            print("started", flush=True)
        print("shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})

try:
    uvicorn.run(app, host="127.0.0.1", port=0, log_level="critical")
    print("returned", flush=True)
finally:
    print("finally", flush=True)
"""
EXPECTED = {
    "no handler": (-signal.SIGTERM, ["shut down"]),
    "handled": (0, ["shut down", "returned", "finally", "at exit"]),
}

found = {}
for name in EXPECTED:
    process = subprocess.Popen([sys.executable, "-c", SERVER, name], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "started\n"
    time.sleep(0.5)  # the socket is bound behind the start-up message
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    found[name] = (process.returncode, said.split("\n")[:-1])
    print(f"{name:10} status {found[name][0]:4}, printed: {', '.join(found[name][1])}")
if found != EXPECTED:
    sys.exit("uvicorn ends otherwise now: read findings/README.md again")
PY
