"""`python -m benchmarks`."""

from benchmarks.cli import run_command_line

run_command_line()
