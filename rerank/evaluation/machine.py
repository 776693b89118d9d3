"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from typing import Any


def this_machine() -> dict[str, Any]:
    """Return the cores this process may use, Python's version and the platform."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": cores,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
