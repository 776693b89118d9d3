"""OpenRefine: what the Reconciliation Service API 0.2 says answers look like, and what they say."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from test_serve import HERE, client_of, error_of

from rerank.jobs.service.reconciliation import Reconciliation, page_of

TITLE = "Palit RTX 3080 GamingPro 10GB"
PAGE = "http://127.0.0.1:3333"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with client_of(tmp_path_factory.mktemp("refined"), also=Reconciliation) as client:
        yield client


def is_named(content, *more):
    """Whether it has an id and a name that are text, and only such fields as are documented."""
    texts = all(isinstance(content[key], str) and content[key] for key in ("id", "name"))
    return texts and set(content) <= {"id", "name", *more}


def check_manifest(content):
    assert isinstance(content["name"], str)
    assert all(isinstance(each, str) for each in content["versions"])
    assert all(content[space].startswith("http") for space in ("identifierSpace", "schemaSpace"))
    assert all(is_named(each) for each in content["defaultTypes"])
    assert "{{id}}" in content["view"]["url"]
    preview = content["preview"]
    assert "{{id}}" in preview["url"]
    assert all(isinstance(preview[side], int) for side in ("width", "height"))
    services = [*content["suggest"].values(), content["extend"]["propose_properties"]]
    assert set(content["suggest"]) == {"entity", "property", "type"}
    for each in services:
        assert each["service_url"].startswith("http")
        assert each["service_path"].startswith("/")
    assert content["extend"]["property_settings"] == []


def check_candidate(content):
    assert is_named(content, "type", "score", "match", "features", "description")
    assert all(is_named(each) for each in content["type"])
    assert isinstance(content["score"], int | float)
    assert isinstance(content["match"], bool)
    for feature in content["features"]:
        assert set(feature) == {"id", "value"}
        assert isinstance(feature["value"], int | float | bool)


def check_results(content, names):
    assert list(content) == names
    for each in content.values():
        assert set(each) == {"result"}
        scores = [candidate["score"] for candidate in each["result"]]
        assert scores == sorted(scores, reverse=True)
        assert sum(candidate["match"] for candidate in each["result"]) <= 1
        for candidate in each["result"]:
            check_candidate(candidate)


def asked(client, queries, **how):
    answer = client.post("/reconcile", data={"queries": json.dumps(queries)}, **how)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_manifest_leads_to_routes_that_answer(client):
    content = client.get("/reconcile").json()
    check_manifest(content)
    assert content["versions"] == ["0.2"]
    for each in [*content["suggest"].values(), content["extend"]["propose_properties"]]:
        url = each["service_url"] + each["service_path"]
        assert client.get(url, params={"prefix": "a"}).status_code == 200
    assert content["identifierSpace"] == f"{HERE}/candidates/"


def test_a_batch_is_answered_by_its_names_and_match_is_the_decision(client):
    queries = {
        "q0": {"query": TITLE, "type": "gpu", "limit": 3},
        "other": {"query": "RTX 3080 box only", "type_strict": "should"},
        "q2": {"query": ""},
    }
    content = asked(client, queries)
    check_results(content, list(queries))
    rows = client.post("/resolve", json=[{"title": each["query"]} for each in queries.values()])
    first, second, _ = rows.json()
    found = content["q0"]["result"]
    assert len(found) == 3
    assert [each["id"] for each in found if each["match"]] == [first["gpu_id"]]
    assert found[0]["description"].startswith("match: ")
    assert second["decision"] == "no_match"
    assert not any(each["match"] for each in content["other"]["result"])
    assert content["q2"]["result"] == []
    given = {"queries": json.dumps({"q0": queries["q0"]})}
    assert client.get("/reconcile", params=given).json() == {"q0": content["q0"]}
    features = {each["id"]: each["value"] for each in found[0]["features"]}
    assert features["probability"] == first["candidates"][0]["probability"]


def test_properties_beside_a_cell_are_read_as_fields_of_a_listing(client):
    beside = [
        {"pid": "vendor", "v": {"id": "x", "name": "Palit"}},
        {"pid": "memory", "v": ["10GB", None]},
        {"pid": "price", "v": 300},
    ]
    content = asked(client, {"q": {"query": "RTX 3080", "properties": beside}})
    listing = {"title": "RTX 3080", "vendor": "Palit", "description": "10GB", "price": 300}
    row = client.post("/resolve", json=listing).json()
    best = content["q"]["result"][0]
    assert best["id"] == row["candidates"][0]["gpu_id"]
    assert best["description"] == f"{row['decision']}: {row['reason']}"


def test_matching_as_drafted_for_1_0_says_the_same(client):
    condition = {"matchType": "name", "propertyValue": TITLE}
    beside = {"matchType": "property", "propertyId": "vendor", "propertyValue": "Palit"}
    body = {"queries": [{"conditions": [condition, beside], "limit": 2}]}
    content = client.post("/reconcile/match", json=body).json()
    query = {"query": TITLE, "limit": 2, "properties": [{"pid": "vendor", "v": "Palit"}]}
    assert content["results"][0]["candidates"] == asked(client, {"q": query})["q"]["result"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"queries": "{"}, "expected JSON"),
        ({"queries": "[]"}, "queries: expected an object, found a list"),
        ({"queries": '{"q": "RTX"}'}, "query 'q': expected an object, found text"),
        ({"queries": '{"q": {}}'}, "query 'q': expected a query that is text, found null"),
        ({"queries": '{"q": {"query": "x", "limit": 0}}'}, "limit: expected a whole number"),
        ({"queries": '{"q": {"query": "x", "limit": {}}}'}, "limit: expected a whole number"),
        ({"queries": '{"q": {"query": "x", "properties": 3}}'}, "properties: expected a list"),
        ({"queries": '{"q": {"query": "x", "properties": [{}]}}'}, "properties that are named"),
        ({"extend": "{}"}, "properties: expected a list of objects"),
        ({"extend": '{"ids": [1], "properties": []}'}, "extend: expected lists"),
        ({"what": "x"}, "expected a field 'queries' or 'extend'"),
    ],
)
def test_odd_queries_are_refused_in_json(client, fields, said):
    answer = client.post("/reconcile", data=fields)
    assert said in error_of(answer, 400 if said == "expected JSON" else 422)


def test_odd_forms_are_refused_in_json(client):
    own = {"content-type": "application/x-www-form-urlencoded"}
    for body in (b"\xff=1", b"queries=%ff", b"queries", b"&".join([b"a=1"] * 500)):
        assert "expected a form" in error_of(
            client.post("/reconcile", content=body, headers=own), 400
        )
    deep = json.dumps({"q": {"query": "x", "properties": [{"pid": "a", "v": [[[[[[["x"]]]]]]]}]}})
    assert client.post("/reconcile", data={"queries": deep}).status_code == 200


def test_products_columns_and_the_type_are_suggested(client):
    found = client.get("/reconcile/suggest/entity", params={"prefix": "4060 ti"}).json()["result"]
    assert found
    assert all(is_named(each, "notable") and "4060 Ti" in each["name"] for each in found)
    skipped = client.get("/reconcile/suggest/entity", params={"prefix": "4060 ti", "cursor": 1})
    assert skipped.json()["result"][0] == found[1]
    named = client.get("/reconcile/suggest/property", params={"prefix": "MEMORY"}).json()["result"]
    assert {each["id"] for each in named} == {"memory_gb", "memory_type"}
    (kind,) = client.get("/reconcile/suggest/type", params={"prefix": ""}).json()["result"]
    assert kind["id"] == "gpu"
    answer = client.get("/reconcile/suggest/entity", params={"prefix": "a", "cursor": "x"})
    assert "cursor: expected" in error_of(answer, 422)


def test_cells_are_extended_by_columns_of_the_catalogue(client):
    (key,) = [
        each["id"]
        for each in asked(client, {"q": {"query": TITLE}})["q"]["result"]
        if each["match"]
    ]
    proposed = client.get("/reconcile/properties", params={"type": "gpu", "limit": 4}).json()
    assert len(proposed["properties"]) == proposed["limit"] == 4
    wanted = [{"id": name} for name in ("memory_gb", "vendor", "rare", "part_numbers", "none")]
    extend = {"ids": [key, "gone"], "properties": wanted}
    content = client.post("/reconcile", data={"extend": json.dumps(extend)}).json()
    assert [each["id"] for each in content["meta"]] == [each["id"] for each in wanted]
    assert set(content["rows"]) == {key, "gone"}
    row = content["rows"][key]
    assert row["memory_gb"] == [{"float": 10.0}]
    assert row["vendor"] == [{"str": "NVIDIA"}]
    assert row["rare"] == [{"bool": False}]
    assert all(set(cell) == {"str"} for cell in row["part_numbers"])
    assert row["none"] == []
    assert content["rows"]["gone"] == {each["id"]: [] for each in wanted}


class Text(HTMLParser):
    """Collects the names of tags."""

    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)


def test_a_preview_shows_a_product_and_escapes_whatever_stands_there(client):
    key = client.get("/search", params={"title": TITLE}).json()["candidates"][0]["gpu_id"]
    answer = client.get("/reconcile/preview", params={"id": key})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "RTX 3080" in answer.text
    error_of(client.get("/reconcile/preview", params={"id": "<script>"}), 404)
    parser = Text()
    parser.feed(page_of("<script>alert(1)</script>", {"<b>": "</td><img src=x>", "o": ["<i>"]}))
    assert not {"script", "b", "img", "i"} & set(parser.tags)


def test_pages_of_openrefine_may_read_and_others_may_not(client):
    own = client.get("/reconcile", headers={"origin": PAGE})
    assert own.headers["access-control-allow-origin"] == PAGE
    other = client.get("/reconcile", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    resolved = client.post("/resolve", json={"title": "x"}, headers={"origin": PAGE})
    assert "access-control-allow-origin" not in resolved.headers
