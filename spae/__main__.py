"""`python -m spae`."""

from spae.cli import app
from spae.terminal import protect_streams

protect_streams()
app()
