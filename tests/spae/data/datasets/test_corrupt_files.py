"""Corrupt files: counted once, named, tolerated up to a limit."""

from __future__ import annotations

import pytest

from spae.data.datasets.corrupt_files import CorruptFiles
from spae.errors import DataError


def test_each_file_counts_once():
    corrupt_files = CorruptFiles(1000)
    for _ in range(3):
        corrupt_files.add("a.jpg", "a.jpg does not decode")
    assert corrupt_files.count == 1 and corrupt_files.named == {"a.jpg": "a.jpg does not decode"}


@pytest.mark.parametrize(
    ("total", "limit"),
    [pytest.param(5, 10, id="few"), pytest.param(5000, 50, id="hundredth"), pytest.param(0, 10, id="unknown")],
)
def test_limit(total, limit):
    corrupt_files = CorruptFiles(total)
    assert corrupt_files.limit == limit
    for number in range(limit):
        corrupt_files.add(str(number), f"{number} is bad")
    with pytest.raises(
        DataError, match=rf"^{limit + 1} files are unreadable; the limit is {limit} .*0 is bad"
    ) as caught:
        corrupt_files.add("more", "bad")
    assert "\n" not in str(caught.value)


def test_limit_of_a_stream_grows_with_what_was_read():
    corrupt_files = CorruptFiles(0)
    corrupt_files.used(3000)
    assert corrupt_files.limit == 30


def test_twenty_are_named_and_all_are_listed(tmp_path):
    corrupt_files = CorruptFiles(10_000, file=tmp_path / "run" / "corrupt_files.txt")
    for number in range(25):
        corrupt_files.add(f"é{number}\n.jpg", f"image {number} is\nbad")
    assert len(corrupt_files.named) == 20 and corrupt_files.count == 25
    assert "and 5 more, listed in" in corrupt_files.summary()
    lines = (tmp_path / "run" / "corrupt_files.txt").read_text().splitlines()
    assert len(lines) == 25 and lines[3] == r"'\xe93\n.jpg'" + "\timage 3 is bad"


def test_summary_without_corrupt_files_is_empty():
    assert CorruptFiles(3).summary() == ""
