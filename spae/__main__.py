"""`python -m spae`."""

from spae.cli import app
from spae.terminal import protect_streams
from spae.threads import set_threads

protect_streams()
set_threads()
app()
