"""Names of versions, and the cards they carry."""

from __future__ import annotations

import json

import pytest

from rerank.index.errors import ArtifactError, InputError
from rerank.lifecycle.versions import VersionCard, VersionRef, checked_name, feature_schema

CARD = VersionCard(
    kind="ltr",
    version="0123456789abcdef",
    created_at="2026-05-01T09:30:00Z",
    created_by="ann",
    code_version="0.1.0+abc",
    parent="shipped",
    parameters={"seed": 7},
    data={"registry": "ff"},
    feature_schema=feature_schema({"candidate": ("named", "similarity")}),
    metrics={"figures": {"precision_at_1": {"value": 0.9, "ci95": [0.8, 0.95], "n": 10}}},
    files={"ranker.onnx": "aa"},
    reference={"seed": 1},
    distribution=None,
)


def test_a_card_is_read_as_it_was_written(tmp_path):
    CARD.write(tmp_path)
    assert VersionCard.read(tmp_path) == CARD
    assert CARD.ref == VersionRef("ltr", "0123456789abcdef")


def test_a_folder_without_a_card_has_none(tmp_path):
    assert VersionCard.read(tmp_path) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace('"ann"', '"bob"'),
        lambda text: text.replace("0.95", "0.96"),
        lambda text: text[:100],
        lambda text: "",
        lambda text: "[]",
        lambda text: "{}",
        lambda text: json.dumps({**json.loads(text), "more": 1}),
        lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "files"}),
    ],
)
def test_a_damaged_card_is_found(tmp_path, damage):
    CARD.write(tmp_path)
    path = tmp_path / "version.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(ArtifactError, match=r"version\.json: damaged card"):
        VersionCard.read(tmp_path)


def test_a_card_that_cannot_be_read_is_a_fault_of_the_artifact(tmp_path):
    (tmp_path / "version.json").mkdir()
    with pytest.raises(ArtifactError, match=r"version\.json: expected a file, found a folder"):
        VersionCard.read(tmp_path)


def test_a_feature_schema_changes_with_the_order_of_the_features():
    one = feature_schema({"candidate": ("a", "b")})
    other = feature_schema({"candidate": ("b", "a")})
    assert one["features"] == {"candidate": ["a", "b"]}
    assert one["sha256"] != other["sha256"]
    assert one == feature_schema({"candidate": ["a", "b"]})


@pytest.mark.parametrize("name", ["v1", "0123456789abcdef", "a+b", "before-easter", "x" * 64])
def test_plain_names_are_taken(name):
    assert checked_name(name, "alias") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../v1",
        "a/b",
        "a\\b",
        "/etc",
        "a\0b",
        "a\nb",
        "a\n",
        "v1 ",
        "-rf",
        "_a",
        ".hidden",
        "x" * 65,
        "né",
        "a:b",
        "v1.0",
    ],
)
def test_names_that_could_lead_out_of_a_folder_are_refused(name):
    with pytest.raises(InputError, match="expected 1 to 64 letters, digits"):
        checked_name(name, "version")
