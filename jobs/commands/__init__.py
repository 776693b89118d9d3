"""One file a command; `jobs.cli` imports a file when its command is called."""
