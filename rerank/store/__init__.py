"""What people said and what was measured, in one DuckDB file."""
