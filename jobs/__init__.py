"""What people run: the command line, and `open_resolver` for a pipeline's own code."""

from jobs.serving import open_resolver
from jobs.workspace import Workspace

__all__ = ["Workspace", "open_resolver"]
