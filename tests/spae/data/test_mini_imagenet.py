"""The table of the twenty test classes."""

from __future__ import annotations

import re

from spae.data.mini_imagenet import TEST_CLASSES


def test_twenty_wordnet_ids_with_one_name_each():
    assert len(TEST_CLASSES) == len(set(TEST_CLASSES.values())) == 20
    assert all(re.fullmatch(r"n\d{8}", wnid) for wnid in TEST_CLASSES)
    # Three that the paper's figures show.
    assert (TEST_CLASSES["n02129165"], TEST_CLASSES["n04522168"]) == ("lion", "vase")
    assert TEST_CLASSES["n02443484"] == "black-footed ferret"
