"""Train the cross-encoder as a YAML file says."""
