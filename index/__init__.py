"""What could it be? Records, text, embedders and FAISS, whatever is sold."""
