"""Score files of listings: read, resolve and write parquet batch by batch, file by file."""
