"""Which GPU could it be? Registry, embedder, FAISS index and retriever."""
