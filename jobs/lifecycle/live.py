"""A resolver for services: it follows promotions and rollbacks without a restart."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from index.errors import RerankError
from index.file_faults import os_error_text
from jobs.lifecycle.opening import version_over
from jobs.serving import open_resolver
from jobs.workspace import DEFAULT_HOME, Workspace, open_retriever

if TYPE_CHECKING:
    from index.artifacts import Manifest
    from index.records import Listing
    from index.retriever import Retriever
    from rerank.resolver import Resolution, Resolver

logger = logging.getLogger(__name__)

_RETRY_S = 60.0


class LiveResolver:
    """Resolves with whatever is champion of a workspace when it is called. Safe for threads.

    Each call compares the pointer and the index with what was loaded. If they changed, the thread
    that sees it first loads what is new, while the others go on with the old; it takes over when
    it is loaded, fits and answers as its card says. If it does not, the old one stays, which is
    reported once, and it is tried again from time to time.
    """

    def __init__(
        self,
        home: Path | str | None = None,
        *,
        on_fault: Callable[[str], None] | None = None,
        retry_s: float = _RETRY_S,
    ) -> None:
        """Load what serves now.

        :param home: the workspace; by default ``RERANK_HOME``, else ``.rerank``.
        :param on_fault: is told, once, why something new cannot serve; by default the log is.
        :param retry_s: after how many seconds that is tried again if nothing has changed.
        :raises ArtifactError: if nothing of the workspace can serve.
        """
        self._workspace = Workspace(Path(home or os.environ.get("RERANK_HOME") or DEFAULT_HOME))
        self._on_fault = on_fault or logger.warning
        self._retry_s = retry_s
        self._loading = threading.Lock()
        self._fault: str | None = None
        self._retry_at = 0.0
        self._indexed: tuple[tuple[object, ...], Retriever, Manifest] | None = None
        self._seen = self._workspace.identity()
        self._resolver = open_resolver(self._workspace.home)

    @property
    def fault(self) -> str | None:
        """Why what should serve now does not; None if it does."""
        return self._fault

    @property
    def current(self) -> Resolver:
        """The resolver of what serves now. Hold it for calls that must be of one version."""
        if self._is_outdated() and self._loading.acquire(blocking=False):
            try:
                if self._is_outdated():  # else another thread has seen to it in between
                    self._follow()
            finally:
                self._loading.release()
        return self._resolver

    def resolve(self, listing: Listing, *, top_k: int = 20) -> Resolution:
        """Resolve one listing."""
        return self.current.resolve(listing, top_k=top_k)

    def resolve_many(self, listings: Sequence[Listing], *, top_k: int = 20) -> list[Resolution]:
        """Resolve listings, all by one version; answers come in the order of the listings.

        :raises InputError: if ``top_k`` is below 1.
        """
        return self.current.resolve_many(listings, top_k=top_k)

    def _is_outdated(self) -> bool:
        if self._fault is not None and time.monotonic() >= self._retry_at:
            return True
        try:
            return self._workspace.identity() != self._seen
        except OSError:  # the disk is away for the moment: what is loaded needs it not
            return False

    def _follow(self) -> None:
        try:
            self._seen = self._workspace.identity()
            self._resolver = self._loaded()
            self._fault = None
        except (RerankError, OSError) as exc:
            self._report(os_error_text(exc) if isinstance(exc, OSError) else str(exc))

    def _loaded(self) -> Resolver:
        """Load the champion; the index only if that changed."""
        (champion, *_) = self._workspace.serving_versions()
        identity = self._workspace.index_identity()
        if self._indexed is None or self._indexed[0] != identity:
            self._indexed = (identity, *open_retriever(self._workspace))
        return version_over(self._workspace, champion, *self._indexed[1:])

    def _report(self, fault: str) -> None:
        self._retry_at = time.monotonic() + self._retry_s
        if fault != self._fault:
            self._fault = fault
            self._on_fault(f"{fault}; model {self._resolver.model.version} goes on serving")
