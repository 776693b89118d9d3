"""Versions of what decides: their names, the card each carries, and who signed them.

A version is an artifact folder that never changes, named by the fingerprint of its manifest. Its
card, `version.json`, lies beside the manifest and says where it comes from: the manifest says what
it is. Versions without a card were made before there were any; they serve as well.

A signature says who made a folder, where checksums say only that it is whole: Ed25519 (RFC 8032)
over the sha256 of every file, manifest and card among them, in a file beside them. What no
signature covers is no file of the folder.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rerank.index.artifacts import (
    MANIFEST,
    library_version,
    open_regular,
    read_json,
    read_regular,
    typed_record,
    write_json,
    writing_file,
)
from rerank.index.errors import DISTRIBUTION, ArtifactError, InputError, os_error_text, require
from rerank.index.records import shipped
from rerank.rankers.kinds import RankerKind, ranker_kinds

CARD = "version.json"
SHIPPED = "shipped"
"""The version's name of what ships with the project; the workspace has no folder of it."""

MISSING_VALUES = "never NaN: 0 where a listing says nothing, -1 where a title names no model"
"""What features hold where nothing is known; what is trained by one rule serves by no other."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,63}", re.ASCII)


class VersionRef(NamedTuple):
    """Names a version: what it is a version of, and which."""

    kind: str
    version: str

    def __str__(self) -> str:
        return f"{self.kind} {self.version}"

    def as_dict(self) -> dict[str, str]:
        """Return it as the pointer keeps it."""
        return {"name": self.kind, "version": self.version}


SHIPPED_MODEL = VersionRef("ltr", SHIPPED)


def decision_kinds() -> tuple[str, ...]:
    """Return the kinds of which a version decides by itself: rankers with what is made on theirs.

    Those of installed packages are looked for, which takes longer than to read a pointer.
    """
    return tuple(kind.value for kind in ranker_kinds())


def all_kinds() -> tuple[str, ...]:
    """Return all kinds of versions."""
    return (*decision_kinds(), "index", "embedder")


_REMEDIES = {
    "ltr": "rerank train-ltr",
    "index": "rerank build-index",
    "embedder": "rerank train-embedder",
}


def remedy_of(kind: str) -> str:
    """Return the command that makes a version of a kind."""
    return _REMEDIES.get(kind, "rerank train-decision")


def checked_name(text: str, what: str) -> str:
    """Return a version's or alias's name that cannot lead out of its folder.

    :param what: what the name is of, for the error.
    :raises InputError: unless it is 1 to 64 letters, digits, ``_``, ``+`` or ``-`` and begins with
        a letter or digit: no path separator, no dot, no control character.
    """
    if not _NAME.fullmatch(text):
        raise InputError(
            f"{what} {text[:80]!r}: expected 1 to 64 letters, digits, '_', '+' or '-', the first "
            "a letter or digit; `rerank models list` shows those there are"
        )
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCard:
    """Where a version comes from.

    :param created_at: UTC, ISO 8601, by the clock of the machine that made it.
    :param created_by: the user's name.
    :param code_version: release, with the commit if run from a checkout; None if unknown.
    :param parent: what served when it was made: a version or ``shipped``; None if nothing did.
    :param parameters: all it was made with.
    :param data: what it was trained on: fingerprints, numbers and seeds.
    :param feature_schema: names in order, their fingerprint, and the missing-value rule.
    :param metrics: figures on validation listings, each with its 95 % interval.
    :param files: sha256 of each file of the version.
    :param reference: listings with the answers it must give wherever it serves; None if unknown.
    :param distribution: how its answers were spread when it was made; None if unknown.
    """

    kind: str
    version: str
    created_at: str
    created_by: str
    code_version: str | None = None
    parent: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    feature_schema: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    reference: dict[str, Any] | None = None
    distribution: dict[str, Any] | None = None

    @property
    def ref(self) -> VersionRef:
        """The version this is the card of."""
        return VersionRef(self.kind, self.version)

    def write(self, folder: Path) -> None:
        """Write it into the version's folder, with a sha256 of its own content."""
        content = asdict(self)
        with writing_file(folder / CARD) as path:
            text = json.dumps({**content, "sha256": _digest(content)}, indent=1, sort_keys=True)
            path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> VersionCard | None:
        """Read a version's card; None if the version was made before there were cards.

        :raises ArtifactError: if it is damaged or cannot be read.
        """
        path = folder / CARD
        try:
            content = read_json(path)
            found = content.pop("sha256")
            if found != (expected := _digest(content)):
                raise ValueError(f"expected sha256 {expected[:12]}, found {found!r:.20}")
            return typed_record(cls, content)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise ArtifactError(os_error_text(exc)) from exc
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            raise ArtifactError(
                f"{path}: damaged card ({exc}); the version may be sound, but nothing says what "
                "it was made from: train it again, or restore this file"
            ) from exc


def feature_schema(names: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return what a model reads, as its card keeps it, with the rule for missing values.

    :param names: of each table of features, its columns in their order.
    """
    ordered = {table: list(columns) for table, columns in names.items()}
    return {"features": ordered, "sha256": _digest(ordered), "missing": MISSING_VALUES}


def _digest(content: Mapping[str, Any]) -> str:
    """Return the sha256 of JSON values, the same whatever the order of their keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


CHAMPION, CHALLENGER = "champion", "challenger"
_LARGEST_GENERATION = 2**62  # what the history can keep, with room to count on


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """What serves, what else has a name, and the last change.

    :param champion: the model that serves.
    :param previous: what served before it, and serves in its place if it is damaged.
    :param aliases: other names; ``challenger`` is the one usually compared with the champion, a
        kind's name stands for the newest version of that kind.
    :param generation: number of changes so far.
    :param transition: the last change in full; the store's history has it as well, or gets it from
        here if the process ended in between.
    :param canary: state of a running canary.
    """

    champion: VersionRef = SHIPPED_MODEL
    previous: VersionRef | None = None
    aliases: dict[str, VersionRef] = field(default_factory=dict)
    generation: int = 0
    transition: dict[str, Any] | None = None
    canary: dict[str, Any] | None = None

    def named(self, alias: str) -> VersionRef | None:
        """Return what an alias names, None if nothing."""
        return self.champion if alias == CHAMPION else self.aliases.get(alias)

    def names_of(self, ref: VersionRef) -> list[str]:
        """Return the aliases of a version, the champion's first."""
        own = [CHAMPION] if ref == self.champion else []
        return own + sorted(alias for alias, named in self.aliases.items() if named == ref)


def read_pointer(path: Path) -> Pointer:
    """Read the pointer; without a file, what ships serves.

    :raises ArtifactError: if it is damaged or names what can be no version.
    """
    try:
        content = read_json(path)
        fields = {
            "champion": _model(content),
            "previous": None if content.get("previous") is None else _model(content["previous"]),
            "aliases": {
                checked_name(alias, "alias"): _ref(named, all_kinds)
                for alias, named in dict(content.get("aliases") or {}).items()
            },
            "generation": _generation(content.get("generation", 0)),
            "transition": content.get("transition"),
            "canary": content.get("canary"),
        }
        return typed_record(Pointer, fields)
    except FileNotFoundError:
        return Pointer()
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        InputError,
    ) as exc:
        raise ArtifactError(
            f"{path}: expected JSON with 'name' and 'version', found something else "
            f"({type(exc).__name__}: {exc}); run `rerank train-ltr`, or `rerank models rollback "
            "--to VERSION`"
        ) from exc


def replace_pointer(path: Path, pointer: Pointer) -> None:
    """Write the pointer in the place of the old one, on disk when this returns.

    :raises OSError: if it cannot be written; the old one stays.
    """
    content = {
        **pointer.champion.as_dict(),
        "previous": None if pointer.previous is None else pointer.previous.as_dict(),
        "aliases": {alias: named.as_dict() for alias, named in sorted(pointer.aliases.items())},
        "generation": pointer.generation,
        "transition": pointer.transition,
        "canary": pointer.canary,
    }
    write_json(content, path)


def _model(content: Any) -> VersionRef:
    return _ref(content, decision_kinds)


def _ref(content: Any, kinds: Callable[[], tuple[str, ...]]) -> VersionRef:
    kind, version = content["name"], content["version"]
    if kind not in [*RankerKind] and kind not in kinds():
        raise ValueError(f"name: expected one of {', '.join(kinds())}, found {kind!r:.40}")
    if not isinstance(version, str):
        raise TypeError(f"version: expected text, found {version!r:.40}")
    return VersionRef(kind, checked_name(version, "version"))


def _generation(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST_GENERATION:
        raise ValueError(f"generation: expected a whole number from 0, found {value!r:.40}")
    return value


_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE_S = 10.0


def user_name() -> str:
    """Return the name of the user who runs this, without the machine's: that is private."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # of a user that the system has no name of, as in some containers
        return "unknown"


def code_version() -> str | None:
    """Return the release of rerank, with the commit if it runs from a checkout.

    ``0.1.0+1a2b3c4d5e6f``, with ``-dirty`` behind it if files differ from the commit; None if
    rerank is neither installed nor a checkout.
    """
    release = library_version(DISTRIBUTION)
    commit = _commit()
    return f"{release or '0'}+{commit}" if commit else release


def generator_fingerprint() -> str:
    """Return the fingerprint of the grammar that generates listings, by its files' content."""
    digest = hashlib.sha256()
    for path in sorted(shipped("bootstrap").iterdir()):
        digest.update(f"{path.name}\0".encode() + read_regular(path) + b"\0")
    return digest.hexdigest()[:16]


def _commit() -> str | None:
    if not (_ROOT / ".git").exists():
        return None
    import subprocess  # not for who only resolves

    command = [
        "git",
        "-C",
        str(_ROOT),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
        "--exclude=*",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired):  # no git here, or a file system that hangs
        return None
    return done.stdout.strip() or None


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
