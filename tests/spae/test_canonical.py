"""Values that hash."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from spae.canonical import Frozen, canonical_json, sha256_file, sha256_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(VALUES)
def test_canonical_json_is_one_ascii_line_that_reads_back(value):
    text = canonical_json(value)
    assert text.isascii() and "\n" not in text and json.loads(text) == value
    assert sha256_json(value) == hashlib.sha256(text.encode()).hexdigest()


@given(st.dictionaries(st.text(), st.integers()))
def test_the_order_of_keys_does_not_matter(value):
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_numbers_that_json_lacks_are_refused(value):
    with pytest.raises(ValueError):
        canonical_json(value)


def test_the_hash_of_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 100_000)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(b"abc" * 100_000).hexdigest()
    with pytest.raises(OSError):
        sha256_file(tmp_path / "none")


def test_frozen_values_do_not_change_and_have_no_other_fields():
    class Point(Frozen):
        x: int

    point = Point(x=1)
    with pytest.raises(ValidationError):
        point.x = 2
    with pytest.raises(ValidationError):
        Point(x=1, y=2)
