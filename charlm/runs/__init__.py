"""A run directory: where it is, how it is set up, its log and its status."""
