"""The lifecycle of models in a workspace: registry, promotion, traffic, monitoring."""
