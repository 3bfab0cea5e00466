"""`python -m benchmarks`: the commands, and the one place where errors become exit codes.

Everything heavy is imported inside the commands, so that `--help` and `ls` answer at once.
"""

from __future__ import annotations

import errno
import sys
from typing import Annotated

import typer

from benchmarks.commands.cache import cache
from benchmarks.commands.ls import ls
from benchmarks.commands.regression import baseline, check
from benchmarks.commands.round_trip import round_trip
from benchmarks.commands.run import report, run
from benchmarks.commands.validate import validate
from spae.terminal import SafeGroup, drop_output, safe_streams

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


def _version(asked: bool) -> None:
    if asked:
        from spae import __version__

        typer.echo(f"spae-bench {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Measure how well a frozen language model reads images that a visual tokenizer turned into words.

    Examples:

      python -m benchmarks ls

      python -m benchmarks run --task miniimagenet-5way
    """


def run_command_line() -> None:
    """Entry point: errors that are deliberate, of the disk or of a plug-in are one line and exit code 2."""
    from benchmarks.errors import BenchmarkError

    with safe_streams():
        try:
            app(prog_name="python -m benchmarks")
        except SystemExit as stop:
            from spae.plugins import failed_in

            if (failure := failed_in(stop)) is not None:
                typer.echo(f"error: {failure}", err=True)
                sys.exit(2)
            if stop.code == INTERRUPTED:
                typer.echo("stopped: answered requests are stored; give the same command again to resume", err=True)
            raise
        except Exception as error:
            # The other rooms' errors are imported only now: `ls` has no time for it.
            from benchmarks.errors import deliberate_errors
            from spae.plugins import failed_in

            line: str | None
            if isinstance(error, (BenchmarkError, *deliberate_errors())):
                line = str(error)
            else:
                line = failed_in(error) or (_disk_line(error) if isinstance(error, OSError) else None)
            if line is None:
                raise
            typer.echo(f"error: {' '.join(line.split())}", err=True)
            drop_output()
            sys.exit(2)


def _disk_line(error: OSError) -> str:
    """What the system refused, and what to do. No room of ours raises it on purpose: disks and folders do."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    fix = "make room there" if full else "check that it is there, and its permissions"
    names = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    what = error.strerror or str(error) or type(error).__name__
    return f"{names or 'a file'} cannot be used ({what}): {fix}, then give the same command again"
