"""`python -m benchmarks`."""

from benchmarks.cli import run_command_line
from spae.terminal import protect_streams

protect_streams()
run_command_line()
