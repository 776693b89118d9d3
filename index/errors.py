"""The exceptions of the project.

RerankError
├── InputError        a file, table or value handed in is not what was expected
│   └── FaultsError   several such faults, collected and reported at once
├── ArtifactError     an index or model folder is missing, damaged or of another format
│   └── MismatchError a sound artifact of another embedder, registry or feature schema
├── StoreError        the store is damaged, of a newer release, or a query on it failed
│   └── StoreBusyError another process is using it
├── RefusedError      a change of what serves that gates or another change forbid
└── MissingExtraError an optional library is needed for what was asked

`RerankWarning` is given where something is wrong and work goes on all the same.
"""

from __future__ import annotations

from collections.abc import Sequence

_MAX_FAULTS_SHOWN = 20


class RerankError(Exception):
    """Root of every error this project raises on purpose."""


class InputError(RerankError):
    """Input that cannot be used: says what was expected, what was found and where."""


class FaultsError(InputError):
    """All faults of one input, reported together."""

    def __init__(self, heading: str, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        lines = [f"{heading}: {len(faults)} fault{'s' if len(faults) != 1 else ''}"]
        lines += [f"  - {fault}" for fault in faults[:_MAX_FAULTS_SHOWN]]
        if len(faults) > _MAX_FAULTS_SHOWN:
            lines.append(f"  ... and {len(faults) - _MAX_FAULTS_SHOWN} more")
        super().__init__("\n".join(lines))


class ArtifactError(RerankError):
    """An artifact folder is missing, damaged, half-written or of an unknown format."""


class MismatchError(ArtifactError):
    """A sound artifact that does not fit the others it is used with."""


class StoreError(RerankError):
    """The store cannot be used, or a query on it failed; names the step and the SQL."""


class StoreBusyError(StoreError):
    """Another process is using the store."""


class RefusedError(RerankError):
    """A change of what serves that was not made: a gate failed, or another change came first."""


class MissingExtraError(RerankError):
    """An optional dependency is not installed."""


class RerankWarning(UserWarning):
    """Something is wrong, and work goes on: says what, and what is done instead."""
