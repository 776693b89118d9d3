"""Measure speed and memory, side by side with what others do, in one run: `rerank bench`."""
