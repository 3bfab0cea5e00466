"""`python -m benchmarks`: the commands, and the one place where errors become exit codes.

Everything heavy is imported inside the commands, so that `--help` and `ls` answer at once.
"""

from __future__ import annotations

import sys

import typer

from benchmarks.commands.cache import cache
from benchmarks.commands.ls import ls
from benchmarks.commands.regression import baseline, check
from benchmarks.commands.round_trip import round_trip
from benchmarks.commands.run import report, run
from benchmarks.commands.validate import validate
from spae.terminal import SafeGroup, protect_streams

app = typer.Typer(
    cls=SafeGroup, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)  # fmt: skip
app.command()(ls)
app.command()(run)
app.command()(report)
app.add_typer(cache, name="cache")
app.command()(baseline)
app.command()(check)
app.command()(validate)
app.command()(round_trip)

INTERRUPTED = 130
"""Exit code of typer on Ctrl-C."""


@app.callback()
def main() -> None:
    """Measure how well a frozen language model reads images that a visual tokenizer turned into words.

    Examples:

      python -m benchmarks ls

      python -m benchmarks run --task miniimagenet-5way
    """


def run_command_line() -> None:
    """Entry point: a deliberate error becomes one line and exit code 2; anything else is a bug and keeps its trace."""
    from benchmarks.errors import BenchmarkError

    protect_streams()
    try:
        app(prog_name="python -m benchmarks")
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            typer.echo("stopped: answered requests are stored; give the same command again to resume", err=True)
        raise
    except Exception as error:
        # The other rooms' errors are imported only now: `ls` has no time for it.
        from benchmarks.errors import deliberate_errors

        if not isinstance(error, (BenchmarkError, *deliberate_errors())):
            raise
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(2)
