"""`python -m spae`."""

from spae.cli import app
from spae.terminal import protect_streams
from spae.threads import use_available_cores

protect_streams()
use_available_cores()
app()
