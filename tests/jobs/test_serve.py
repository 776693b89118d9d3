"""`rerank serve`: routes, refusals, keys and limits, asked in this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import socket
import subprocess
import threading
import urllib.request
from typing import ClassVar

import numpy as np
import processes
import pytest
from second_model import add_version

from rerank.index.errors import InputError
from rerank.index.records import Listing
from rerank.jobs.service import batching
from rerank.jobs.service.access import (
    KEYS_FILE,
    Keys,
    Limits,
    Refusal,
    Role,
    Telemetry,
    new_key,
)
from rerank.jobs.service.app import Service, application, body_of
from rerank.jobs.service.batching import Batcher, Canary
from rerank.jobs.service.judging import Judging
from rerank.lifecycle.canary import CanarySettings, GuardrailLimits, below, positions
from rerank.lifecycle.model_registry import ModelRegistry
from rerank.lifecycle.traffic import start_canary
from rerank.lifecycle.versions import Pointer, replace_pointer
from rerank.workspace import Workspace

TITLE = "Palit RTX 3080 GamingPro 10GB"
HERE = "http://127.0.0.1"


@contextlib.contextmanager
def client_of(home, *, keys="", limits=None, also=None):
    """Yield a client of a service that looks for what serves when its `batcher` is told to.

    :param also: further routes.
    """
    from starlette.testclient import TestClient

    telemetry, limits = Telemetry(), limits or Limits()
    batcher = Batcher(
        Workspace(home),
        most_waiting=limits.waiting,
        on_batch=telemetry.resolved,
        look_every_s=3600,
    )
    service = Service(batcher, Keys(home / KEYS_FILE, keys), telemetry, limits)
    service.operations += Judging(service, Workspace(home)).operations()
    service.operations += also(service).operations() if also else []
    with TestClient(application(service), base_url=HERE) as client:
        client.batcher = batcher
        yield client


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """The service of an empty workspace: what ships."""
    with client_of(tmp_path_factory.mktemp("served")) as client:
        yield client


def error_of(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    content = answer.json()
    assert set(content) == {"error", "request_id"}
    assert content["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in content["error"]
    return content["error"]


def test_a_listing_is_answered_with_the_row_that_scoring_writes(client, shipped_resolver):
    given = {"listing_id": "a-1", "title": TITLE, "vendor": "Palit", "shelf": 7}
    answer = client.post("/resolve", json=given, params={"top_k": 2})
    assert answer.status_code == 200
    row = answer.json()
    (expected,) = shipped_resolver.resolve_table(
        [Listing("a-1", TITLE, "Palit")], top_k=2
    ).to_pylist()
    assert row == {**given, **expected}
    assert row["decision"] == "match"
    assert len(row["candidates"]) == 2


def test_a_list_is_answered_with_a_list_in_its_order(client, shipped_resolver):
    given = [{"title": title} for title in (TITLE, "", "RTX 3080 box only", TITLE)]
    rows = client.post("/resolve", json=given).json()
    found = shipped_resolver.resolve_many([each["title"] for each in given], top_k=5)
    assert [row["decision"] for row in rows] == [each.decision for each in found]
    assert [row["title"] for row in rows] == [each["title"] for each in given]
    assert rows[1]["reason"] == "no title"
    assert rows[0] == rows[3]


def test_large_requests_are_answered_by_parts_and_small_ones_do_not_wait_for_them(
    client, shipped_resolver, monkeypatch
):
    told, done = [], []
    monkeypatch.setattr(batching, "MOST_TOGETHER", 4)
    monkeypatch.setattr(
        client.batcher, "_on_batch", lambda n, found, _: told.append((n, len(found)))
    )
    titles = [f"{TITLE} no. {at}" for at in range(9)]

    def finish(rows, serving):
        done.append(len(rows))
        return [row["match_probability"] for row in rows] if len(rows) > 1 else 1 / 0

    async def asked():
        asking = [
            client.batcher.resolve([Listing("", title) for title in titles[:n]], 1, finish)
            for n in (9, 1, 5)
        ]
        return await asyncio.gather(*asking, return_exceptions=True)

    large, odd, small = client.portal.call(asked)
    assert (done, told) == ([1, 5, 9], [(3, 4), (2, 4), (2, 4), (1, 3)])
    assert large == [each.match_probability for each in shipped_resolver.resolve_many(titles)]
    assert (small, type(odd)) == (large[:5], ZeroDivisionError)  # that one alone
    assert client.batcher.waiting == 0


def test_a_field_gives_way_to_the_answer_of_its_name(client):
    row = client.post("/resolve", json={"title": TITLE, "model": "mine"}).json()
    assert row["input_model"] == "mine"
    assert row["model"] == "GeForce RTX 3080"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "expected JSON"),
        (b"{", 400, "expected JSON"),
        (b'{"title": NaN}', 400, "expected JSON"),
        (b'{"title": "\xff"}', 400, "expected JSON"),
        (b'{"title": "\\ud800"}', 400, "expected JSON"),
        (b"[" * 100_000, 400, "expected JSON"),
        (b'{"title": "x", "price": 1e999}', 400, "expected JSON"),
        (b"null", 422, "expected an object"),
        (b"3", 422, "expected an object"),
        (b'"RTX 3080"', 422, "expected an object"),
        (b"[]", 422, "expected 1 to 1000"),
        (b"[[]]", 422, "listing 0: expected an object"),
        (b'[{"title": "x"}, null]', 422, "listing 1: expected an object"),
        (b'{"tilte": "x"}', 422, "expected a field 'title', found tilte"),
        (b'{"title": 3080}', 422, "title: expected text"),
        (b'{"title": "x", "vendor": []}', 422, "vendor: expected text"),
        (b'{"title": "x", "listing_id": true}', 422, "listing_id: expected text"),
        (b'{"title": "x", "price": {}}', 422, "price: expected a number"),
        (b'{"title": "x", "own": 123456789012345678901}', 422, "own: too large"),
        (b'{"title": "x", "own": ' + b"[" * 500 + b"]" * 500 + b"}", 422, "nested too deep"),
    ],
)
def test_odd_bodies_are_refused_in_json(client, body, status, said):
    answer = client.post("/resolve", content=body, headers={"content-type": "application/json"})
    assert said in error_of(answer, status)


def test_what_is_odd_and_can_be_answered_is(client):
    titles = ["\x00\x1b[31m", "<script>", "x" * 200_000, "🃏" * 9, "\u202eRTX 3080"]
    rows = client.post("/resolve", json=[{"title": title} for title in titles]).json()
    assert [row["title"] for row in rows] == titles
    body = b'\xef\xbb\xbf{"title": null, "price": "1 299,00"}'
    answer = client.post("/resolve", content=body, headers={"content-type": "application/json"})
    assert answer.json()["reason"] == "no title"


@pytest.mark.parametrize("media", ["text/plain", "", "application/x-www-form-urlencoded"])
def test_another_kind_of_body_is_refused(client, media):
    answer = client.post("/resolve", content=b'{"title": "x"}', headers={"content-type": media})
    assert "expected Content-Type" in error_of(answer, 415)
    own = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = client.post("/resolve", content=b"x", headers=own)
    assert "Content-Encoding" in error_of(answer, 415)


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "1001", "9" * 99, "٣"])
def test_a_parameter_out_of_range_is_refused(client, value):
    answer = client.post("/resolve", json={"title": "x"}, params={"top_k": value})
    assert "top_k: expected a whole number from 1 to 1000" in error_of(answer, 422)


def test_too_much_is_refused(tmp_path):
    limits = Limits(body_bytes=2000, listings=3)
    with client_of(tmp_path, limits=limits) as client:
        answer = client.post("/resolve", json=[{"title": "x"}] * 4)
        assert "expected 1 to 3 listings, found 4" in error_of(answer, 413)
        announced = client.post("/resolve", json=[{"title": "x" * 3000}])
        assert "at most 2,000 bytes" in error_of(announced, 413)
        parts = (b"[" for _ in range(3000))
        own = {"content-type": "application/json"}
        assert "at most 2,000" in error_of(client.post("/resolve", content=parts, headers=own), 413)


def test_what_takes_too_long_is_refused(tmp_path):
    with client_of(tmp_path, limits=Limits(answer_s=0.0)) as client:
        assert "no answer within" in error_of(client.post("/resolve", json={"title": "x"}), 503)


def test_a_body_that_is_too_slow_is_refused():
    class Slow:
        headers: ClassVar = {"content-type": "application/json"}

        async def stream(self):
            yield b"["
            await asyncio.sleep(3600)

    with pytest.raises(Refusal, match=r"the body did not come within 0\.01 s") as caught:
        asyncio.run(body_of(Slow(), "application/json", Limits(body_s=0.01)))
    assert caught.value.status == 408


def test_unknown_routes_and_methods(client):
    assert "no such route" in error_of(client.get("/resolved"), 404)
    assert "no such route" in error_of(client.get("/resolve/"), 404)
    answer = client.get("/resolve")
    assert "takes no GET" in error_of(answer, 405)
    assert answer.headers["allow"] == "POST"


def test_search_and_the_catalogue(client):
    found = client.get("/search", params={"title": "RTX 4090", "top_k": 3}).json()
    assert len(found["candidates"]) == 3
    key = found["candidates"][0]["gpu_id"]
    assert client.post("/search", json={"title": "RTX 4090", "top_k": 3}).json() == found
    entry = client.get(f"/candidates/{key}").json()
    assert (entry["gpu_id"], entry["model"]) == (key, "GeForce RTX 4090")
    assert "has no 'none/such'" in error_of(client.get("/candidates/none/such"), 404)
    assert "expected words" in error_of(client.get("/search"), 422)
    answer = client.get("/search", params={"title": "x", "route": "magic"})
    assert "expected one of vector, name, fused" in error_of(answer, 422)


def test_health_versions_and_metrics(client, shipped_resolver):
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz").json()
    assert ready["ready"] is True
    assert ready["fault"] is None
    assert ready["model_version"] == shipped_resolver.model.version
    client.post("/resolve", json=[{"title": TITLE}, {"title": "RTX 3080 box only"}])
    page = client.get("/metrics").text
    assert 'rerank_requests_total{method="POST",route="/resolve",status="200"}' in page
    assert 'rerank_decisions_total{decision="match"}' in page
    assert "rerank_request_seconds_bucket" in page
    assert "rerank_batch_listings_bucket" in page


def test_an_id_of_a_request_comes_back_if_it_looks_like_one(client):
    answer = client.get("/healthz", headers={"x-request-id": "order-77.a"})
    assert answer.headers["x-request-id"] == "order-77.a"
    for odd in ("a b", "x" * 65, "<script>", ""):
        found = client.get("/healthz", headers={"x-request-id": odd}).headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{16}", found)


def test_openapi_describes_every_route_and_every_column(client, shipped_resolver):
    described = client.get("/openapi.json").json()
    assert described["openapi"] == "3.1.0"
    row = described["components"]["schemas"]["Row"]
    assert list(row["properties"]) == shipped_resolver.schema.names
    names = set(described["components"]["schemas"])
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            shown = client.request(method, path.replace("{id}", "nothing"))
            assert str(shown.status_code) in operation["responses"], (method, path)
    referred = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(described)))
    assert referred <= names


def test_a_promotion_is_followed_and_no_request_fails(home, tmp_path):
    version = add_version(home, tmp_path / "draft", match=0.999)
    with client_of(home) as client:
        before = client.get("/readyz").json()["model_version"]
        done, statuses, seen = threading.Event(), [], set()

        def ask():
            while not done.is_set():
                answer = client.post("/resolve", json={"title": TITLE})
                statuses.append(answer.status_code)
                seen.add(answer.json()["model_version"])

        asking = threading.Thread(target=ask)
        asking.start()
        replace_pointer(Workspace(home).pointer_path, Pointer(champion=version, generation=1))
        client.batcher.look()
        assert client.get("/readyz").json()["model_version"] == version.version
        answer = client.post("/resolve", json={"title": TITLE}).json()
        done.set()
        asking.join()
    assert answer["model_version"] == version.version
    assert {*statuses} == {200}
    assert seen <= {before, version.version}


def test_what_cannot_serve_is_named_and_the_old_goes_on(home, tmp_path):
    version = add_version(home, tmp_path / "draft", match=0.999)
    with client_of(home) as client:
        before = client.get("/readyz").json()["model_version"]
        (Workspace(home).version_folder(version) / "offer.onnx").write_bytes(b"")
        replace_pointer(Workspace(home).pointer_path, Pointer(champion=version, generation=1))
        client.batcher.look()
        ready = client.get("/readyz").json()
        assert (ready["ready"], ready["model_version"]) == (True, before)
        assert "offer.onnx: damaged" in ready["fault"]


def test_a_canary_gets_its_share_is_counted_and_becomes_champion(home, tmp_path):
    registry = ModelRegistry(Workspace(home))
    challenger = add_version(home, tmp_path / "draft")
    guardrails = GuardrailLimits(latency_ratio=1000)
    settings = CanarySettings(
        steps=(0.5,), window_listings=20, windows_per_step=2, group=10, guardrails=guardrails
    )
    start_canary(registry, challenger, settings, salt="s")
    ids = [f"L{number}" for number in range(80)]
    given = [{"listing_id": each, "title": f"{TITLE} #{each}"} for each in ids]
    with client_of(home) as client:
        serving = client.batcher.serving
        champion = serving.resolver.model.version
        rows = client.post("/resolve", json=given, params={"top_k": 1}).json()
        chosen = below(positions(ids, "s"), 0.5)
        expected = np.where(chosen, challenger.version, champion).tolist()
        assert [row["model_version"] for row in rows] == expected
        assert {len(row["candidates"]) for row in rows} == {1}
        onlooker = Canary(Workspace(home))  # of another process: splits alike, counts nothing
        other = onlooker.follow(serving.resolver, serving.index)
        table = other.answer_listings(
            [Listing(each["listing_id"], each["title"]) for each in given]
        )
        assert table.column("model_version").to_pylist() == expected
        unnamed = [{"title": f"{TITLE} no. {number}"} for number in range(9)]
        answers = [client.post("/resolve", json=unnamed).json() for _ in range(2)]
        assert answers[0] == answers[1]
        client.batcher.look()
        client.batcher.look()
        assert client.get("/readyz").json()["model_version"] == challenger.version
        assert onlooker.follow(serving.resolver, serving.index) is None
    assert registry.pointer().champion == challenger
    assert [each.action for each in registry.history()][1:] == ["canary window", "canary passed"]


def test_what_a_person_settles_stands_from_then_on(home):
    text = {"title": "Palit RTX 3080 GamingPro 10GB", "vendor": "Palit"}
    with client_of(home) as client:
        plain = client.post("/resolve", json=text).json()
        assert "decision_source" not in plain
        other = {"verdict": "match", "id": "geforce-rtx-4090-24gb-gddr6x", "by": "anna"}
        answer = client.post("/verdicts", json={**text, **other})
        assert answer.status_code == 200, answer.text
        assert answer.json()["stands"] is True
        row = client.post("/resolve", json=text).json()
        assert (row["gpu_id"], row["decision_source"]) == (other["id"], "person")
        assert (row["decided_by"], row["model_gpu_id"]) == ("anna", plain["gpu_id"])
        assert row["decided_at"].endswith("Z")
        described = client.get("/openapi.json").json()["components"]["schemas"]["Row"]
        assert set(row) == {*text, *described["properties"]}
        for query in (text, {}):
            shown = client.get("/verdicts", params=query).json()
            assert shown["total"] == 1
            (verdict,) = shown["verdicts"]
            assert (verdict["id"], verdict["by"]) == (other["id"], "anna")
        assert client.get("/verdicts", params={"title": "x"}).json()["total"] == 0
        undone = client.delete("/verdicts", params={**text, "by": "bob"}).json()
        assert undone == {"undone": "match", "stands": False}
        row = client.post("/resolve", json=text).json()
        assert row["gpu_id"] == plain["gpu_id"]
        assert "no verdict stands" in error_of(client.delete("/verdicts", params=text), 404)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"verdict": "match"}, "expected a field 'title'"),
        ({"title": " ", "verdict": "not_gpu"}, "title: expected the text"),
        ({"title": "x"}, "verdict: expected one of match"),
        ({"title": "x", "verdict": ["match"]}, "verdict: expected one of match"),
        ({"title": "x", "verdict": "match"}, "expected an id or a model"),
        ({"title": "x", "verdict": "not_gpu", "model": "A100"}, "expected neither id nor model"),
        ({"title": "x", "verdict": "match", "id": "nothing"}, "id: the registry has no such"),
        ({"title": "x", "verdict": "match", "id": 3}, "id: the registry has no such"),
        ({"title": "x", "verdict": "not_this", "model": []}, "model: the registry has no such"),
        ({"title": "x", "verdict": "not_gpu", "note": 3}, "note: expected text"),
        ({"title": "x", "verdict": "not_gpu", "by": "a\nb"}, "by: expected a name"),
    ],
)
def test_odd_verdicts_are_refused_and_nothing_is_kept(client, body, said):
    assert said in error_of(client.post("/verdicts", json=body), 422)
    assert client.get("/verdicts").json() == {"verdicts": [], "total": 0}


def test_a_verdict_needs_the_role_and_carries_the_name_of_the_key(home):
    home.mkdir()
    reading, _ = new_key(home / KEYS_FILE, "shop", Role.READ)
    judging, _ = new_key(home / KEYS_FILE, "anna", Role.JUDGE)
    body = {"title": "RTX 3080 box", "verdict": "not_gpu"}
    with client_of(home) as client:
        own = {"x-api-key": reading}
        assert "needs the role judge" in error_of(
            client.post("/verdicts", json=body, headers=own), 403
        )
        own = {"x-api-key": judging}
        named = client.post("/verdicts", json={**body, "by": "bob"}, headers=own)
        assert "the key says who" in error_of(named, 422)
        assert client.post("/verdicts", json=body, headers=own).status_code == 200
        (shown,) = client.get("/verdicts", headers=own).json()["verdicts"]
        assert shown["by"] == "anna"


def test_keys_open_what_their_role_may(tmp_path):
    key, made = new_key(tmp_path / KEYS_FILE, "shop", Role.READ)
    assert key not in (tmp_path / KEYS_FILE).read_text(encoding="utf-8")
    with client_of(tmp_path) as client:
        assert "no key" in error_of(client.get("/metrics"), 401)
        wrong = client.get("/metrics", headers={"authorization": f"Bearer {key}x"})
        assert "an unknown key" in error_of(wrong, 401)
        assert wrong.headers["www-authenticate"] == "Bearer"
        for headers in ({"authorization": f"bearer {key}"}, {"x-api-key": key}):
            assert client.get("/metrics", headers=headers).status_code == 200
        assert client.get("/healthz").status_code == 200
    keys = Keys(tmp_path / "none", f"{made.name}:read:{made.sha256}")
    assert keys.admit({"x-api-key": key}, Role.READ) == "shop"
    with pytest.raises(Exception, match="needs the role judge, the key's role is read"):
        keys.admit({"x-api-key": key}, Role.JUDGE)


def test_keys_follow_their_file_and_never_fall_open(tmp_path):
    path = tmp_path / KEYS_FILE
    key, _ = new_key(path, "one", Role.ADMIN)
    keys = Keys(path)
    with pytest.raises(InputError, match="has a key called 'one'"):
        new_key(path, "one", Role.READ)
    other, _ = new_key(path, "two", Role.READ)
    keys.follow()
    assert keys.admit({"x-api-key": other}, Role.READ) == "two"
    path.write_text("{", encoding="utf-8")
    keys.follow()
    assert keys.holder(key) is not None
    path.unlink()
    keys.follow()
    assert keys
    assert keys.holder(key) is None


@pytest.mark.parametrize(
    "text", ["a", "a:read", "a:boss:" + "0" * 64, "a:read:secret", "a b:read:x"]
)
def test_a_damaged_variable_of_keys_is_named_and_not_repeated(tmp_path, text):
    with pytest.raises(InputError, match="RERANK_API_KEYS: ") as caught:
        Keys(tmp_path / "none", text)
    assert "secret" not in str(caught.value)


def test_without_keys_other_sites_are_not_answered(client):
    answer = client.get("/readyz", headers={"host": "evil.example:8000"})
    assert "only requests to localhost" in error_of(answer, 403)
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000", "127.8.8.8:1"):
        assert client.get("/readyz", headers={"host": host}).status_code == 200


def test_serve_refuses_to_be_reached_without_keys(run, home):
    result = run("serve", "--host", "0.0.0.0", "--port", 0)
    assert result.exit_code == 1
    assert "other machines reach it, and there are no keys" in result.output


def test_a_new_key_is_printed_once(run, home):
    result = run("serve", "--new-key", "judge", "--name", "anna")
    assert result.exit_code == 0
    key = result.stdout.strip()
    assert re.fullmatch(r"rr_[\w-]{43}", key)
    assert key not in (home / KEYS_FILE).read_text(encoding="utf-8")
    assert Keys(home / KEYS_FILE).holder(key).role is Role.JUDGE


def test_a_process_answers_and_ends_well_when_told_to(tmp_path):
    process = processes.started(tmp_path, "serve", "--port", 0, stderr=subprocess.PIPE)
    with process:
        try:
            url = json.loads(process.stderr.readline())["url"]
            body = json.dumps({"title": TITLE}).encode()
            asked = urllib.request.Request(
                f"{url}/resolve", body, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(asked, timeout=60) as answer:
                assert json.load(answer)["decision"] == "match"
            with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as line:
                line.sendall(b"what is this?\r\n\r\n")
                head, _, said = line.makefile("rb").read().partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 ")
            assert "expected HTTP/1.1" in json.loads(said)["error"]
            process.send_signal(signal.SIGTERM)
            told = process.stderr.read()
            assert process.wait(60) == 0, told
        finally:
            process.kill()
    events = [json.loads(line)["event"] for line in told.splitlines()]
    assert events == ["request", "Invalid HTTP request received.", "stopped"]
