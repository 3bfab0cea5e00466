"""Several processes on CPUs under `accelerate launch`.

Without MPI, `accelerate launch --cpu --num_processes N` starts one process and says nothing (accelerate 1.15,
`prepare_simple_launcher_cmd_env`). The process it starts then becomes torch's own launcher, which starts the N.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

ASKED = ("--num_processes", "--num-processes")


def launched_alone(environment: Mapping[str, str]) -> bool:
    """Whether accelerate's launcher was asked for several processes on CPUs and started this one alone."""
    asked = environment.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes") and "MASTER_ADDR" in environment
    return asked and "WORLD_SIZE" not in environment


def processes_asked(command: Sequence[str]) -> int:
    """How many processes a launcher's command line asks for; 1 where it does not say."""
    for place, word in enumerate(command):
        option, equals, value = word.partition("=")
        if option in ASKED:
            number = value if equals else "".join(command[place + 1 : place + 2])
            return int(number) if number.isdecimal() and int(number) > 0 else 1
    return 1


def relaunch_command(processes: int, arguments: Sequence[str]) -> list[str]:
    """The command that starts `python -m spae ARGUMENTS` so many times, as one group."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return [*launcher, "-m", "spae", *arguments]


def start_the_others() -> None:
    """Become the launcher of all processes that were asked for, where accelerate started this one alone.

    Does not return in that case. Where the launcher's command line does not say how many, nothing happens.
    """
    if not launched_alone(os.environ):
        return
    import psutil

    parent = psutil.Process().parent()
    try:
        processes = processes_asked(parent.cmdline() if parent is not None else [])
    except psutil.Error:  # it has ended, or is another user's
        processes = 1
    if processes > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, relaunch_command(processes, sys.argv[1:]))
