"""What to say of a path that is not there: with the name beside it that may have been meant."""

from __future__ import annotations

import difflib
from pathlib import Path


def no_path(path: Path, kind: str = "") -> str:
    """ "there is no folder /data/imagnet, did you mean /data/imagenet?", by the names in its folder.

    Args:
        kind: what is missing ("folder"); "" says nothing of it.
    """
    said = f"there is no {f'{kind} ' if kind else ''}{path}"
    parent, name = path.parent, path.name
    # Of a path whose folder is missing, too, the folder is the mistake.
    while not parent.is_dir() and parent != parent.parent:
        parent, name = parent.parent, parent.name
    try:
        beside = [one.name for one in parent.iterdir()]
    except OSError:
        return said
    near = difflib.get_close_matches(name, beside, n=1, cutoff=0.6)
    return f"{said}, did you mean {parent / near[0]}?" if near else said
