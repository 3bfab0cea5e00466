"""`python -m spae`."""

from spae.cli import app
from spae.threads import use_available_cores

use_available_cores()
app()
