"""What people run: the command line, and `open_resolver` for a pipeline's own code."""

from jobs.workspace import Workspace, open_resolver

__all__ = ["Workspace", "open_resolver"]
