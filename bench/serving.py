"""The service under load, beside a plain FastAPI loop: `python -m bench.serving`.

Client and servers share this machine and talk over 127.0.0.1. The open load sends at a fixed rate,
whatever has been answered, and counts a latency from when its request was due; the closed load
keeps each connection busy. Processor seconds are a server's own.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import click
import numpy as np

from bench.measuring import MIB, resident_bytes
from rerank.index.records import shipped
from rerank.jobs.cli import settle_libraries
from rerank.packs.gpu.bootstrap.generator import generate
from rerank.packs.gpu.registry import load_registry

WANTED_P99_MS = 15.0
WANTED_LISTINGS_PER_S = 4000.0
WANTED_OVER_PLAIN = 4.0
_RATE = 500.0
_CONNECTIONS = 50
_BATCH = 200
_START_S = 120.0
_MOST_S = 180.0  # of one load
_HEAD = (
    b"POST /resolve HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: "
)
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LoadFigures:
    """How a load went.

    :param failed: requests that were answered with anything but 200.
    :param p50_ms: with ``p99_ms`` and ``worst_ms``, from the moment a request was due.
    :param server_cpu_s: processor seconds of the server.
    :param grown_mib: of its memory from the middle of the load to the end.
    """

    requests: int
    listings: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    server_cpu_s: float
    grown_mib: float

    @property
    def rate(self) -> float:
        """Listings a second."""
        return self.listings / self.seconds


class _Connection(asyncio.Protocol):
    """A connection that sends one request at a time."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._answered: asyncio.Future[bool] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        end = self._held.find(b"\r\n\r\n")
        if end < 0 or self._answered is None:
            return
        found = _LENGTH.search(self._held, 0, end)
        if found is None or len(self._held) < end + 4 + int(found[1]):
            return
        answered, self._answered = self._answered, None
        fine = self._held.startswith(b"HTTP/1.1 200")
        self._held.clear()
        answered.set_result(fine)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None:
            self._answered.set_result(False)
            self._answered = None

    async def ask(self, request: bytes) -> bool:
        """Send a request; return whether it was answered well."""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        """End it."""
        self._transport.close()


def _request(content: object) -> bytes:
    body = json.dumps(content).encode()
    return _HEAD + str(len(body)).encode() + b"\r\n\r\n" + body


async def _load(
    port: int, pid: int, requests: Sequence[bytes], *, per_s: float | None, connections: int
) -> tuple[list[float], int, float, float, float]:
    """Send requests; return latencies, failures, seconds, processor seconds and MiB grown."""
    loop = asyncio.get_running_loop()
    lines = [
        (await loop.create_connection(_Connection, "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    began, cpu = time.perf_counter(), _cpu_seconds(pid)
    waiting = iter(range(len(requests)))
    latencies = [0.0] * len(requests)
    failed, half = 0, 0.0

    async def work(line: _Connection) -> None:
        nonlocal failed, half
        for at in waiting:
            due = time.perf_counter() if per_s is None else began + at / per_s
            if (ahead := due - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            fine = await line.ask(requests[at])
            failed += not fine  # not in one: what was failed is read before the wait
            latencies[at] = time.perf_counter() - due
            if at == len(requests) // 2:
                half = resident_bytes(pid)

    await asyncio.gather(*map(work, lines))
    seconds = time.perf_counter() - began
    for line in lines:
        line.close()
    grown = (resident_bytes(pid) - half) / MIB
    return latencies, failed, seconds, _cpu_seconds(pid) - cpu, grown


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def under_load(
    server: tuple[int, int],
    contents: Sequence[Any],
    *,
    per_s: float | None = None,
    connections: int = _CONNECTIONS,
) -> LoadFigures:
    """Send contents to a server.

    :param server: its port and process.
    :param per_s: requests a second; None for as many as are answered.
    """
    requests = [_request(content) for content in contents]
    load = _load(*server, requests, per_s=per_s, connections=connections)
    latencies, failed, seconds, cpu, grown = asyncio.run(asyncio.wait_for(load, _MOST_S))
    p50, p99, worst = (
        round(1000 * float(each), 2) for each in np.quantile(latencies, (0.5, 0.99, 1))
    )
    n = sum(len(each) if isinstance(each, list) else 1 for each in contents)
    return LoadFigures(
        len(requests), n, failed, round(seconds, 3), p50, p99, worst, round(cpu, 2), round(grown, 1)
    )


@contextmanager
def _started(*arguments: object) -> Iterator[tuple[int, int]]:
    """Run a server; yield its port and process id."""
    command = [sys.executable, "-c", *map(str, arguments)]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stderr=log, stdout=subprocess.DEVNULL) as process,
    ):
        try:
            yield _port_of(process, log), process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _port_of(process: subprocess.Popen[bytes], log: IO[str]) -> int:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        log.seek(0)
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read()):
            return int(found[1])
        time.sleep(0.1)
    log.seek(0)
    raise click.ClickException(f"the server did not start: {log.read()[-400:]}")


def serve_plainly(home: str, port: int) -> None:
    """Answer by what one writes first: FastAPI, a model of pydantic's, a loop over `resolve`."""
    settle_libraries()  # as commands do, before libraries read it
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel, create_model

    from rerank.lifecycle.opening import open_resolver

    item: type[BaseModel] = create_model("Item", title=(str, ...), vendor=(str, ""))
    resolver, app = open_resolver(home), FastAPI()

    async def resolve(given: Any) -> Any:  # in threads of its own it is many times slower
        many = given if isinstance(given, list) else [given]
        found = [asdict(resolver.resolve(each.title, top_k=5)) for each in many]
        return found if isinstance(given, list) else found[0]

    resolve.__annotations__ = {"given": item | list[item]}  # type: ignore[valid-type]
    app.post("/resolve")(resolve)
    sock = socket.create_server(("127.0.0.1", port))
    sys.stderr.write(f"http://127.0.0.1:{sock.getsockname()[1]}\n")
    sys.stderr.flush()
    uvicorn.Server(uvicorn.Config(app, access_log=False)).run(sockets=[sock])


OURS = "from rerank.jobs.cli import main; main()"
PLAIN = "import sys; from bench.serving import serve_plainly; serve_plainly(sys.argv[1], 0)"


def measure_serving(
    home: Path, *, seconds: float, requests: int, say: Callable[[str, LoadFigures], None]
) -> dict[str, LoadFigures]:
    """Measure the service and the plain loop.

    :param say: is told of each load when it is over.
    :param seconds: of the load of single requests at 500 a second.
    :param requests: of the load on 50 connections.
    """
    records = load_registry(shipped("registry"))
    n = max(requests, int(seconds * _RATE), 10 * _BATCH)
    made = [each.listing for each in generate(records, n, seed=11, nil_share=0.35)]
    singles = [{"title": each.title, "vendor": each.vendor} for each in made]
    batches = [singles[at : at + _BATCH] for at in range(0, len(singles) - _BATCH + 1, _BATCH)]
    found: dict[str, LoadFigures] = {}

    def load(name: str, contents: Sequence[Any], **how: Any) -> None:
        found[name] = under_load(server, contents, **how)
        say(name, found[name])

    with _started(OURS, "serve", "--port", 0, "--home", home) as server:
        under_load(server, singles[:500])  # what is loaded and cached at first
        load("singles at 500/s", singles[: int(seconds * _RATE)], per_s=_RATE)
        load("singles, 50 connections", singles[:requests])
        load("batches of 200", batches, connections=2)
    with _started(PLAIN, home) as server:
        under_load(server, singles[:50])
        load("plain singles", singles[: requests // 10])
        load("plain batches", batches[:2], connections=1)
    return found


def verdicts(found: Mapping[str, LoadFigures]) -> list[str]:
    """Return the bars with what was measured, a line each."""
    steady, many, batched = (
        found[name] for name in ("singles at 500/s", "singles, 50 connections", "batches of 200")
    )
    plain = max(found["plain singles"].rate, found["plain batches"].rate)
    over = {"singles": many.rate / found["plain singles"].rate, "batches": batched.rate / plain}
    failed = sum(each.failed for each in found.values())
    return [
        f"p99 at 500/s: {steady.p99_ms:g} ms, wanted {WANTED_P99_MS:g}",
        f"batches of 200: {batched.rate:,.0f} listings/s, wanted {WANTED_LISTINGS_PER_S:,.0f}",
        *(
            f"{name}: {value:.1f} times the plain loop, wanted {WANTED_OVER_PLAIN:g}"
            for name, value in over.items()
        ),
        f"failed: {failed} requests; memory grew by {many.grown_mib:g} MiB in the second half of "
        f"{many.requests:,} requests",
    ]


@click.command()
@click.option("--home", type=click.Path(path_type=Path), default=Path(".rerank"), show_default=True)
@click.option("--seconds", type=click.FloatRange(0.5, 60), default=10.0, show_default=True)
@click.option("--requests", type=click.IntRange(100, 100_000), default=10_000, show_default=True)
def main(home: Path, seconds: float, requests: int) -> None:
    """Measure `rerank serve` on this machine, client and server beside each other."""

    def say(name: str, each: LoadFigures) -> None:
        click.echo(f"{name:24} {each.rate:9,.0f} listings/s  {json.dumps(asdict(each))}")

    found = measure_serving(home, seconds=seconds, requests=requests, say=say)
    for line in verdicts(found):
        click.echo(line)


if __name__ == "__main__":
    main()
