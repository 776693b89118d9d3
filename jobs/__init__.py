"""What people run: the command line and what its commands do."""
