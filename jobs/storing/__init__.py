"""Files into the store and out of it; answers to SQL as text."""
