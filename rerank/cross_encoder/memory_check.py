"""Is there memory for a model? Asked before it is loaded, since a killed process says nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from index.errors import InputError

_MEMINFO = Path("/proc/meminfo")
_ADVICE = (
    "take a smaller model, quantization: nf4, or lower steps.batch_queries, sampling.negatives "
    "or lengths.pair"
)


def check_memory(needed: int, what: str, *, meminfo: Path = _MEMINFO) -> None:
    """Check that memory for something is free; passes where the system does not tell.

    :param needed: bytes.
    :raises InputError: if there is less.
    """
    available = _available(meminfo)
    if available is not None and needed > available:
        raise InputError(
            f"{what} needs about {needed / 2**30:.1f} GB of memory, {available / 2**30:.1f} GB "
            f"are free; {_ADVICE}"
        )


@contextmanager
def memory_faults() -> Iterator[None]:
    """Turn what is raised when memory runs out into one clear error.

    :raises InputError: if it ran out inside the block.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as exc:
        text = str(exc).lower()
        if isinstance(exc, RuntimeError) and not any(
            sign in text for sign in ("allocate memory", "out of memory", "bad_alloc")
        ):
            raise
        raise InputError(f"memory ran out in training; {_ADVICE}") from exc


def _available(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None
