"""The lifecycle of models: versions, what serves, gates, canaries, drift."""
