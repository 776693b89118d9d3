"""The cross-encoder: a transformer that reads a listing and a candidate together."""
