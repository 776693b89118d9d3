"""What people said and what was measured, in one DuckDB file."""

from rerank.store.database import Session, Store, scratch, utc_now

__all__ = ["Session", "Store", "scratch", "utc_now"]
