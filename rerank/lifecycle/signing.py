"""Signatures of artifact folders: who made a folder, where checksums say only that it is whole.

Ed25519 (RFC 8032) over the sha256 of every file of the folder, its manifest and card among them,
in a file beside them. What no signature covers is no file of the folder.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from rerank.index.artifacts import (
    MANIFEST,
    open_regular,
    read_json,
    read_regular,
    write_json,
)
from rerank.index.errors import ArtifactError, InputError, require

SIGNATURE = "signature.json"
_FORMAT = "rerank ed25519 1"


def sign_folder(folder: Path, private_key: Path) -> str:
    """Write a folder's signature, in the place of an earlier one; return the key's fingerprint.

    :param private_key: Ed25519 in PEM, without a password.
    :raises MissingExtraError: if cryptography is not installed.
    :raises ArtifactError: if the folder is no artifact, or holds links.
    :raises InputError: if the key is none.
    """
    require("sign", "signing")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = _key(private_key, Ed25519PrivateKey)
    files = _files_of(folder)
    by = _fingerprint(key.public_key())
    signature = base64.b64encode(key.sign(_statement(files))).decode("ascii")
    write_json(
        {"format": _FORMAT, "key": by, "files": files, "signature": signature}, folder / SIGNATURE
    )
    return by


def verify_signature(folder: Path, public_key: Path) -> str:
    """Check that who holds a key signed a folder as it is; return the key's fingerprint.

    :param public_key: Ed25519 in PEM.
    :raises MissingExtraError: if cryptography is not installed.
    :raises ArtifactError: if there is no signature, it is another key's, or a file differs.
    :raises InputError: if the key is none.
    """
    require("sign", "a signature")
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = _key(public_key, Ed25519PublicKey)
    said = _read_signature(folder / SIGNATURE)
    try:
        key.verify(base64.b64decode(said["signature"], validate=True), _statement(said["files"]))
    except (InvalidSignature, ValueError):
        raise ArtifactError(
            f"{folder / SIGNATURE}: not signed by {public_key} ({_fingerprint(key)}), but, as it "
            f"says itself, by {said['key']!r:.40}; ask who made the folder for their key"
        ) from None
    found = _files_of(folder)
    differing = sorted(
        name for name in {*found, *said["files"]} if found.get(name) != said["files"].get(name)
    )
    if differing:
        raise ArtifactError(
            f"{folder}: changed since it was signed: {', '.join(differing)[:300]}; get the folder "
            "again from who made it"
        )
    return _fingerprint(key)


def _read_signature(path: Path) -> dict[str, Any]:
    try:
        said = read_json(path)
        if not isinstance(said, dict) or said.get("format") != _FORMAT:
            raise ValueError(f"expected the format {_FORMAT!r}")
        files = said["files"]
        if not isinstance(files, dict) or not {*map(type, files.values())} <= {str}:
            raise ValueError("files: expected their sha256")
        if {type(said["signature"]), type(said["key"])} != {str}:
            raise ValueError("signature: expected text")
    except FileNotFoundError:
        raise ArtifactError(
            f"{path.parent}: not signed: no {SIGNATURE} in it; who made it signs it with `rerank "
            "models sign`"
        ) from None
    except (ValueError, KeyError) as exc:
        raise ArtifactError(
            f"{path}: expected a signature, found something else ({exc}); get the folder again"
        ) from exc
    return said


def _files_of(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of an artifact folder but its signature, by name."""
    if not (folder / MANIFEST).is_file():
        raise ArtifactError(f"{folder}: expected an artifact folder, found no {MANIFEST} in it")
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ArtifactError(f"{path}: expected files and folders, found a link; copy the file")
        if not path.is_dir() and path != folder / SIGNATURE:
            with open_regular(path) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[path.relative_to(folder).as_posix()] = digest
    return found


def _statement(files: dict[str, str]) -> bytes:
    return json.dumps([_FORMAT, files], sort_keys=True, separators=(",", ":")).encode()


def _fingerprint(key: Any) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _key(path: Path, kind: type[Any]) -> Any:
    """Read a key; what is wrong with it is said without a word of what the file holds."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    private = kind.__name__.endswith("PrivateKey")
    what = "private" if private else "public"
    content = read_regular(path)
    found: Any = None
    try:
        if private:
            found = serialization.load_pem_private_key(content, password=None)
        else:
            found = serialization.load_pem_public_key(content)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass
    if not isinstance(found, kind):
        raise InputError(
            f"{path}: expected a {what} Ed25519 key in PEM without a password; `openssl genpkey "
            "-algorithm ed25519 -out key.pem` makes a private one, `openssl pkey -in key.pem "
            "-pubout -out key.pub.pem` its public one"
        )
    return found
