"""Who may ask the service and how much, and what is kept of each request: log and metrics.

Keys are 256 random bits, shown once; their SHA-256 is what is stored, so that a file of keys that
others read opens nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import random
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from rerank.index.artifacts import locked, read_json, write_json
from rerank.index.errors import InputError, RefusedError, RerankError

KEYS_FILE = "serve-keys.json"
"""The workspace's own file of keys."""
KEYS_VARIABLE = "RERANK_API_KEYS"
"""The environment variable of keys: NAME:ROLE:SHA256, several with "," between."""
_PREFIX = "rr_"
_RANDOM_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LOOPBACK_NAMES = ("localhost",)

_log = logging.getLogger("rerank.service")


class Role(StrEnum):
    """What a key may do; each may do what those before it may."""

    READ = "read"
    JUDGE = "judge"
    ADMIN = "admin"

    def may(self, wanted: Role) -> bool:
        """Return whether this role is enough."""
        order = list(Role)
        return order.index(self) >= order.index(wanted)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may ask.

    :param body_bytes: of a body.
    :param listings: of one request.
    :param waiting: listings that wait for their answer, of all requests; more are turned away.
    :param body_s: seconds until a body has arrived.
    :param answer_s: seconds until its answer.
    """

    body_bytes: int = 4 << 20
    listings: int = 1000
    waiting: int = 20_000
    body_s: float = 10.0
    answer_s: float = 30.0


class Refusal(RerankError):
    """A request that is not answered as asked; the message is what its sender is told."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A key as it is stored.

    :param sha256: of the key, in hexadecimal.
    """

    name: str
    role: Role
    sha256: str


def new_key(path: Path, name: str, role: Role) -> tuple[str, ServiceKey]:
    """Make a key and add it to a file of keys; the key itself is kept nowhere.

    :raises InputError: if the name is taken or cannot be one, or the file is damaged.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"key name {name!r}: expected 1 to 64 of A-Z, a-z, 0-9, point, hyphen, underscore"
        )
    busy = f"{path}: another process is adding a key; try again"
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock"), lambda: RefusedError(busy), wait_s=5.0):
        held = _read_file(path)
        if any(each.name == name for each in held):
            raise InputError(f"{path}: has a key called {name!r}; choose another name")
        key = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
        made = ServiceKey(name, role, _digest(key))
        write_json({"keys": [asdict(each) for each in (*held, made)]}, path)
        path.chmod(0o600)
    return key, made


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _read_file(path: Path) -> list[ServiceKey]:
    try:
        content = read_json(path)
        entries = [(each["name"], each["role"], each["sha256"]) for each in content["keys"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as exc:
        raise InputError(
            f'{path}: expected {{"keys": [{{"name", "role", "sha256"}}, ...]}}, found something '
            f"else ({type(exc).__name__}); `rerank serve --new-key ROLE` writes it"
        ) from exc
    return [_checked(str(path), *entry) for entry in entries]


def _read_variable(text: str) -> list[ServiceKey]:
    found = []
    for entry in filter(None, map(str.strip, text.split(","))):
        parts = entry.split(":")
        if len(parts) != 3:
            raise InputError(
                f"{KEYS_VARIABLE}: expected NAME:ROLE:SHA256 with ',' between, found an entry of "
                f"{len(parts)} parts; `rerank serve --new-key ROLE` prints one"
            )
        found.append(_checked(KEYS_VARIABLE, *parts))
    return found


def _checked(where: str, name: object, role: object, sha256: object) -> ServiceKey:
    """Return an entry; what stands in it is not repeated, as somebody may put a key there."""
    roles = [each.value for each in Role]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"{where}: expected names of A-Z, a-z, 0-9, '.', '-', '_', found another")
    if role not in roles:
        raise InputError(f"{where}: key {name!r}: expected one of the roles {', '.join(roles)}")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise InputError(
            f"{where}: key {name!r}: expected the SHA-256 of a key, 64 hexadecimal digits; "
            "`rerank serve --new-key ROLE` prints it"
        )
    return ServiceKey(name, Role(role), sha256)


class Keys:
    """The keys that open the service: of a file, which may change, and of the environment.

    :param path: the file, there or not; None for none.
    :param variable: in place of the environment variable; "" for none.
    :raises InputError: if one of them is damaged.
    """

    def __init__(self, path: Path | None, variable: str | None = None) -> None:
        text = os.environ.get(KEYS_VARIABLE, "") if variable is None else variable
        self._path = path
        self._fixed = _read_variable(text)
        self._stamp = self._stamped()
        self._keys = (*self._of_file(), *self._fixed)
        self._asked = bool(self._keys)

    def __bool__(self) -> bool:
        """Whether a key is asked for: once there were some, taking the last away opens nothing."""
        return self._asked

    def follow(self) -> None:
        """Read the file again if it changed; one that is damaged leaves the keys as they are."""
        stamp = self._stamped()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = (*self._of_file(), *self._fixed)
            self._asked = self._asked or bool(self._keys)
        except (InputError, OSError) as exc:
            _log.warning("keys stay as they were: %s", exc)

    def _of_file(self) -> list[ServiceKey]:
        return [] if self._path is None else _read_file(self._path)

    def _stamped(self) -> tuple[int, int, int] | None:
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def holder(self, given: str) -> ServiceKey | None:
        """Return whose key was given; as long for a wrong one as for a right one."""
        digest, found = _digest(given), None
        for each in self._keys:
            if hmac.compare_digest(digest, each.sha256):
                found = each
        return found

    def admit(self, headers: Mapping[str, str], wanted: Role) -> str:
        """Return who asks; "" where there are no keys, and whoever reaches the service may.

        :param headers: with `get`, by lower-case name.
        :raises Refusal: 401 without a key that is known, 403 if its role is not enough.
        """
        if not self:
            return ""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            given = headers.get("x-api-key", "")
        found = self.holder(given.strip()) if given else None
        if found is None:
            said = "an unknown key" if given else "no key"
            raise Refusal(
                401,
                f"expected a key in `Authorization: Bearer KEY` or `X-API-Key: KEY`, found {said}",
                {"WWW-Authenticate": "Bearer"},
            )
        if not found.role.may(wanted):
            raise Refusal(403, f"this needs the role {wanted}, the key's role is {found.role}")
        return found.name


@lru_cache(64)
def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a host name or address."""
    name = host.strip("[]").rstrip(".").lower()
    if name in _LOOPBACK_NAMES:
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def check_listening(host: str, keys: Keys) -> None:
    """Check that whoever reaches a host needs a key, where others than this machine can.

    :raises InputError: if there are none.
    """
    if not keys and not is_loopback(host):
        raise InputError(
            f"--host {host}: other machines reach it, and there are no keys; make one with `rerank "
            f"serve --new-key read`, set {KEYS_VARIABLE}, or listen on 127.0.0.1"
        )


def check_host(given: str, keys: Keys) -> None:
    """Check the Host of a request where no key is asked: a page of another site has its own.

    :raises Refusal: 403 if it is not this machine's.
    """
    name, colon, port = given.rpartition(":")
    host = name if colon and port.isdigit() and (name.endswith("]") or ":" not in name) else given
    if not keys and not is_loopback(host):
        raise Refusal(403, "without keys only requests to localhost are answered")


def request_id(given: str | None) -> str:
    """Return the id a request came with if it looks like one, else a new one."""
    if given and _REQUEST_ID.fullmatch(given):
        return given
    return f"{random.getrandbits(64):016x}"  # told apart, not kept secret: asks the system nothing


@dataclass(slots=True)
class Visit:
    """One request as it is logged and counted.

    :param route: the path as it is documented, "" for none.
    :param holder: whose key it came with.
    :param fault: what its sender was told.
    """

    request_id: str
    method: str
    started: float = field(default_factory=time.perf_counter)
    route: str = ""
    holder: str = ""
    listings: int = 0
    model_version: str = ""
    fault: str = ""


class Telemetry:
    """Counts requests and answers, and logs a line of each request.

    :param log: whether requests are logged.
    """

    def __init__(self, *, log: bool = True) -> None:
        from prometheus_client import CollectorRegistry, Gauge, Histogram
        from prometheus_client import Counter as Count

        self._log_requests = log
        self._registry = CollectorRegistry()
        own = self._registry
        self._requests = Count(
            "rerank_requests", "Requests answered.", ["route", "method", "status"], registry=own
        )
        self._seconds = Histogram(
            "rerank_request_seconds",
            "From the head of a request to the end of its answer.",
            ["route"],
            buckets=(0.001, 0.002, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=own,
        )
        self._decisions = Count(
            "rerank_decisions", "Listings by decision.", ["decision"], registry=own
        )
        sizes = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)
        self._batch_listings = Histogram(
            "rerank_batch_listings", "Listings resolved together.", buckets=sizes, registry=own
        )
        self._batch_requests = Histogram(
            "rerank_batch_requests", "Requests answered together.", buckets=sizes[:7], registry=own
        )
        self._batch_seconds = Histogram(
            "rerank_batch_seconds", "To resolve what is answered together.", registry=own
        )
        self._waiting = Gauge(
            "rerank_waiting_listings", "Listings that wait for answers.", registry=own
        )
        self._serving = Gauge(
            "rerank_serving", "1 for what serves.", ["model_version", "index_version"], registry=own
        )
        self._fault = Gauge("rerank_fault", "1 if what should serve cannot.", registry=own)
        self._lock = threading.Lock()

    def answered(self, visit: Visit, status: int) -> None:
        """Keep a request that was answered, or left by its sender (status 499)."""
        took = time.perf_counter() - visit.started
        route = visit.route or "none"
        self._requests.labels(route, visit.method, str(status)).inc()
        self._seconds.labels(route).observe(took)
        if not self._log_requests:
            return
        said: dict[str, Any] = {
            "request_id": visit.request_id,
            "method": visit.method,
            "route": route,
            "status": status,
            "ms": round(1000 * took, 2),
        }
        own = {
            "key": visit.holder,
            "listings": visit.listings,
            "model_version": visit.model_version,
            "error": visit.fault,
        }
        said |= {name: value for name, value in own.items() if value}
        _log.log(logging.WARNING if status >= 500 else logging.INFO, "request", extra={"own": said})

    def resolved(self, requests: int, decisions: Sequence[str], seconds: float) -> None:
        """Keep what was resolved together."""
        self._batch_requests.observe(requests)
        self._batch_listings.observe(len(decisions))
        self._batch_seconds.observe(seconds)
        for decision, n in Counter(decisions).items():
            self._decisions.labels(decision).inc(n)

    def serves(self, model_version: str, index_version: str, *, fault: bool) -> None:
        """Keep what serves now, and whether it should be something else."""
        with self._lock:
            self._serving.clear()
            self._serving.labels(model_version, index_version).set(1)
            self._fault.set(fault)

    def page(self, waiting: int) -> bytes:
        """Return all in the text format of Prometheus.

        :param waiting: listings that wait for their answers.
        """
        from prometheus_client import generate_latest

        self._waiting.set(waiting)
        return bytes(generate_latest(self._registry))


_TEXT_OF = json.JSONEncoder(ensure_ascii=False, default=str).encode


class JsonLines(logging.Formatter):
    """Formats a record as a line of JSON: time, level, what, and its own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "own", {}),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return _TEXT_OF(said)
