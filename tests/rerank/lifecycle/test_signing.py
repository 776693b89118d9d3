"""Signatures of folders: they hold as long as every file is as it was, and for their key alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from rerank.index.artifacts import write_manifest
from rerank.jobs.cli import main

PEM, RAW = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo


def write_keys(folder: Path, name: str, kind: type = Ed25519PrivateKey) -> tuple[Path, Path]:
    """Write a new key and its public part."""
    key = kind.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(
        key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(key.public_key().public_bytes(PEM, RAW))
    return private, public


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "artifact"
    (made / "below").mkdir(parents=True)
    (made / "below" / "weights.txt").write_text("1 2 3")
    write_manifest(made, kind="index", format_version=1, parameters={})
    (made / "version.json").write_text("{}")
    return made


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path, "ours")


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["models", *map(str, words)])


def refused(*words: object) -> str:
    result = run(*words)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture
def signed(folder: Path, keys: tuple[Path, Path]) -> Path:
    result = run("sign", folder, "--key", keys[0])
    assert result.exit_code == 0, result.output
    return folder


def test_a_signed_folder_is_known_by_the_key(signed, keys, tmp_path):
    moved = signed.rename(tmp_path / "elsewhere")
    result = run("verify", moved, "--key", keys[1], "--format", "json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert said == {"folder": str(moved), "signed_by": said["signed_by"]}
    secret = keys[0].read_text().splitlines()[1]
    assert secret not in result.output + (moved / "signature.json").read_text()


def test_another_key_is_one_sentence(signed, tmp_path):
    _, other = write_keys(tmp_path, "other")
    assert f"not signed by {other}" in refused("verify", signed, "--key", other)


@pytest.mark.parametrize("name", ["below/weights.txt", "manifest.json", "version.json", "new"])
def test_a_file_that_was_changed_or_added_is_named(signed, keys, name):
    (signed / name).write_text("other")
    assert f"changed since it was signed: {name};" in refused("verify", signed, "--key", keys[1])


def test_a_file_that_is_gone_is_named(signed, keys):
    (signed / "version.json").unlink()
    assert "changed since it was signed: version.json" in refused(
        "verify", signed, "--key", keys[1]
    )


def test_a_signature_that_says_otherwise_is_not_believed(signed, keys):
    path = signed / "signature.json"
    said = json.loads(path.read_text())
    (signed / "version.json").write_text("other")
    for content in (
        {**said, "files": {**said["files"], "version.json": "0" * 64}},
        {**said, "signature": "AAAA"},
        {**said, "signature": 5},
        {**said, "files": []},
        {**said, "format": "other"},
        [],
    ):
        path.write_text(json.dumps(content))
        assert str(path) in refused("verify", signed, "--key", keys[1])


def test_an_unsigned_folder_and_one_that_is_no_artifact_are_one_sentence(folder, keys, tmp_path):
    assert "not signed: no signature.json in it" in refused("verify", folder, "--key", keys[1])
    (tmp_path / "empty").mkdir()
    assert "found no manifest.json" in refused("sign", tmp_path / "empty", "--key", keys[0])
    (folder / "link").symlink_to("/etc/hostname")
    assert "found a link" in refused("sign", folder, "--key", keys[0])


def test_what_is_no_key_is_refused_without_a_word_of_it(folder, keys, tmp_path):
    (tmp_path / "secret").write_text("my secret")
    foreign, _ = write_keys(tmp_path, "foreign", X25519PrivateKey)
    for key in (tmp_path / "secret", keys[1], foreign):
        said = refused("sign", folder, "--key", key)
        assert "expected a private Ed25519 key in PEM" in said
        assert "my secret" not in said
    assert "expected a public Ed25519 key" in refused("verify", folder, "--key", keys[0])
