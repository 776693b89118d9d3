"""Collect preference pairs from people and files, and write them as data sets."""
