"""The load of `python -m bench.serving`: what it counts, and how it is told."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.serving import LoadFigures, under_load, verdicts


class Answering(BaseHTTPRequestHandler):
    """Answers 500 to what holds the word bad, else 200."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(500 if b"bad" in body else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1], os.getpid()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("per_s", [None, 1000.0])
def test_a_load_counts_requests_listings_and_failures(server, per_s):
    contents = [{"title": "a"}, [{"title": "b"}] * 3, {"title": "bad"}, {"title": "c"}]
    found = under_load(server, contents, per_s=per_s, connections=2)
    assert (found.requests, found.listings, found.failed) == (4, 6, 1)
    assert 0 < found.p50_ms <= found.p99_ms <= found.worst_ms


def test_the_bars_are_told_with_what_was_measured():
    ours = LoadFigures(100, 1000, 0, 0.1, 2.0, 9.0, 12.0, 0.1, 0.5)
    plain = replace(ours, seconds=2.0, failed=1)
    found = {
        "singles at 500/s": ours,
        "singles, 50 connections": ours,
        "batches of 200": ours,
        "plain singles": plain,
        "plain batches": plain,
    }
    lines = verdicts(found)
    assert lines[0] == "p99 at 500/s: 9 ms, wanted 15"
    assert lines[1] == "batches of 200: 10,000 listings/s, wanted 4,000"
    assert lines[2] == "singles: 20.0 times the plain loop, wanted 4"
    assert lines[-1].startswith("failed: 2 requests; memory grew by 0.5 MiB")
