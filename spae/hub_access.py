"""Whether the Hugging Face hub can be reached, found out once and within seconds.

Its client tries six times, with a minute of pauses and raw log lines between them. Once the hub is known to be out of
reach, the client is set offline: it then reads its cache and fails at once for what is not there.
"""

from __future__ import annotations

import functools

from spae.network_environment import EnvironmentProblem, check_environment

SECONDS = 5.0


def hub_problem() -> str:
    """Why the hub cannot be reached; "" if it can."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "the hub's client is offline, HF_HUB_OFFLINE"
    problem = _problem(constants.ENDPOINT)
    if problem:
        constants.HF_HUB_OFFLINE = True
    return problem


@functools.cache
def _problem(endpoint: str) -> str:
    from huggingface_hub import get_session

    try:
        check_environment(endpoint)
        get_session().head(endpoint, timeout=SECONDS)
    except EnvironmentProblem as error:
        return str(error)
    except Exception as error:  # whatever the hub's client and its HTTP library raise: no route, no name, no TLS
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        return f"{endpoint} cannot be reached ({reason})"
    return ""


def cached_on_hub(repository: str, *files: str) -> bool:
    """Whether one of these files of a repository is in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    return any(isinstance(try_to_load_from_cache(repository, file), str) for file in files)
