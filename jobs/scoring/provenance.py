"""What a scored file says of its making, in its own footer: what `--resume` goes by.

A record apart from the file could disagree with it after a kill; this one appears with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.places import Place
from jobs.scoring.answering import Answerer

RECORD_KEY = "rerank.score"
"""The key of the record among the parquet file's key-value metadata; the value is JSON."""
_FORMAT = 1
_BLOCK_BYTES = 1 << 20
_SAID = {
    "input": "the input changed",
    "options": "the options changed",
    "model_version": "another model",
    "index_version": "another index",
    "release": "another release",
    "format": "another release",
}


def making(source: Place, answerer: Answerer) -> dict[str, Any]:
    """Return all that decides what a scored file holds: input, options, versions.

    :raises OSError: if the input cannot be read.
    """
    return {"input": _fingerprint(source), **expectation(answerer)}


def expectation(answerer: Answerer) -> dict[str, Any]:
    """Return all that decides the answer for a listing: options and versions."""
    return {
        "format": _FORMAT,
        "release": version("rerank"),
        "options": json.loads(json.dumps(answerer.options.as_json())),
        "model_version": answerer.model_version,
        "index_version": answerer.index_version,
    }


def column_types(schema: pa.Schema) -> dict[str, str]:
    """Return the types of a file's columns in words, by name."""
    return {column.name: str(column.type) for column in schema}


def read_record(target: Place) -> dict[str, Any] | None:
    """Return the record of a scored file; None if it is none, or damaged."""
    try:
        with target.filesystem.open_input_file(target.path) as stream:
            metadata = pq.ParquetFile(stream).metadata.metadata or {}
        record = json.loads(metadata[RECORD_KEY.encode()])
    except (pa.ArrowException, OSError, ValueError, KeyError):
        return None
    sound = isinstance(record, dict) and all(
        isinstance(record.get(name), dict) for name in ("options", "columns", "counts")
    )
    return record if sound else None


def differences(
    record: Mapping[str, Any], expected: Mapping[str, Any], *, apart_from_columns: bool = False
) -> list[str]:
    """Say in what a file's making differs from what it would be now; empty if in nothing.

    :param apart_from_columns: what the input calls its columns does not matter.
    """

    def of(content: Mapping[str, Any], name: str) -> Any:
        if name != "options" or not apart_from_columns:
            return content.get(name)
        return {key: value for key, value in content[name].items() if key != "columns"}

    said = [_SAID[name] for name in expected if of(record, name) != of(expected, name)]
    return list(dict.fromkeys(said))


def _fingerprint(source: Place) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    with source.filesystem.open_input_stream(source.path, compression=None) as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return {"bytes": size, "sha256": digest.hexdigest()}
