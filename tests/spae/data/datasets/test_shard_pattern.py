"""Patterns of shard names."""

from __future__ import annotations

import pytest

from spae.data.datasets.shard_pattern import expand
from spae.errors import DataError


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        pytest.param("a-{000..002}.tar", ["a-000", "a-001", "a-002"], id="range"),
        pytest.param("a-{9..11}.tar", ["a-9", "a-10", "a-11"], id="no-zeros"),
        pytest.param("{b,a}-{0..1}.tar", ["b-0", "b-1", "a-0", "a-1"], id="two"),
        pytest.param("a-*.tar", ["a-000", "a-001", "a-002", "a-0", "a-1", "a-10", "a-11", "a-9"], id="star"),
        pytest.param("a-00?.tar", ["a-000", "a-001", "a-002"], id="question"),
    ],
)
def test_names(tmp_path, pattern, names):
    for name in ("a-000", "a-001", "a-002", "a-9", "a-10", "a-11", "a-0", "a-1", "b-0", "b-1", "a", "b0", "b1"):
        (tmp_path / f"{name}.tar").touch()
    found = [path.stem for path in expand(str(tmp_path / pattern))]
    assert sorted(found) == sorted(names) if "*" in pattern else found == names


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("gone.tar", "no shard at"),
        ("a-{0..1}.tar", r"no shard at .*a-1\.tar"),
        ("z*.tar", "no file matches"),
        ("a-{3..1}.tar", "count upwards"),
        ("a-{0..99999999999}.tar", "count upwards"),
        ("{a,b}{0..99}{0..99}{0..99}.tar", "names over 100,000"),
        ("a-{0,0}.tar", "twice"),
        ("", "is a folder"),
    ],
)
def test_refused(tmp_path, pattern, message):
    (tmp_path / "a-0.tar").touch()
    with pytest.raises(DataError, match=message):
        expand(f"{tmp_path}/{pattern}")


@pytest.mark.parametrize("pattern", ["https://host/a.tar", "pipe:cat a.tar", "s3://b/a.tar"])
def test_remote(pattern):
    with pytest.raises(DataError, match="not local"):
        expand(pattern)
