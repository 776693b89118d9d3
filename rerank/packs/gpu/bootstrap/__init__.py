"""Generated training listings: every GPU of a registry, sold and merely mentioned."""
