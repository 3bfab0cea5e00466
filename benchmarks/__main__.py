"""`python -m benchmarks`."""

from benchmarks.cli import run_command_line
from spae.terminal import protect_streams
from spae.threads import set_threads

protect_streams()
set_threads()
run_command_line()
