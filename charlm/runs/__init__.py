"""Run directories: their paths and names, setup, saving, log, status and history."""
