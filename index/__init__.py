"""Which GPU could it be? Registry, embedder, FAISS index and retriever."""

from index.records import GpuRecord, Listing

__all__ = ["GpuRecord", "Listing"]
