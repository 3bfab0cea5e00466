"""`python -m spae`."""

from spae.cli import app

app()
