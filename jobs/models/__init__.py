"""Versions of models, as people see and change them."""
