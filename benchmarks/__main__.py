"""`python -m benchmarks`."""

from benchmarks.cli import run_command_line
from spae.terminal import protect_streams
from spae.threads import use_available_cores

protect_streams()
use_available_cores()
run_command_line()
