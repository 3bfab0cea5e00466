"""The text that names a recipe's data."""

from __future__ import annotations

import pytest

from spae.data.spec import parse_data_spec
from spae.errors import InputError, UnknownName


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("mnist", ("mnist", "", {})),
        ("folder:/a b/c", ("folder", "/a b/c", {})),
        ("folder:/a?classes=/b/c.txt&val=x", ("folder", "/a", {"classes": "/b/c.txt", "val": "x"})),
        ("hf:name:config?label=none", ("hf", "name:config", {"label": "none"})),
        ("webdataset:a-???.tar", ("webdataset", "a-???.tar", {})),
        ("webdataset:a-?.tar?labels=cls", ("webdataset", "a-?.tar", {"labels": "cls"})),
        ("webdataset:{a,b}.tar?val=", ("webdataset", "{a,b}.tar", {"val": ""})),
    ],
)
def test_parts(text, parts):
    found = parse_data_spec(text)
    assert (found.scheme, found.location, found.options) == parts and found.text == text


def test_options():
    spec = parse_data_spec("hf:a?block=12&streaming=yes&split=x")
    assert spec.number("block", 3) == 12 and spec.number("other", 3) == 3
    assert spec.switch("streaming") and not spec.switch("other") and spec.path("val") is None
    spec.only("block", "streaming", "split")
    with pytest.raises(UnknownName, match="unknown option of hf: 'split'"):
        spec.only("block", "streaming", "splits")
    with pytest.raises(InputError, match="yes or no, got 'x'"):
        spec.switch("split")
    with pytest.raises(InputError, match="whole number of at least 20, got '12'"):
        spec.number("block", 3, least=20)
    with pytest.raises(InputError, match="got 'x'"):
        spec.number("split", 3)


def test_option_given_twice_is_refused():
    with pytest.raises(InputError, match="block must be given once"):
        parse_data_spec("hf:a?block=1&block=2")
