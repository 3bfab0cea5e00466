"""`python -m benchmarks`."""

from benchmarks.cli import run_command_line
from spae.threads import use_available_cores

use_available_cores()
run_command_line()
