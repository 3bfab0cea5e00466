"""Checks as JUnit XML: well formed whatever a reply holds, one test case per cell and drift."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.analysis.aggregate import aggregate
from results.regression.drift import Drift, cell_name
from results.regression.junit import KINDS, junit_xml


@pytest.fixture
def cells(key, values):
    return aggregate([*values(key(), [1, 0, 1]), *values(key(setting="i0-s1-r0"), [1, 1])])


def parsed(text):
    root = ElementTree.fromstring(text)
    (suite,) = root
    assert suite.get("tests") == root.get("tests") == str(len(suite))
    assert suite.get("failures") == str(len(suite.findall("testcase/failure")))
    return suite


def test_every_cell_and_kind_passes_without_drifts(cells):
    suite = parsed(junit_xml("small", cells, [], 1.25))
    assert suite.get("failures") == "0" and suite.get("time") == "1.250" and suite.get("name") == "check small"
    names = [(case.get("classname"), case.get("name")) for case in suite]
    assert names[:2] == [("check.aggregate", cell_name(cell)) for cell in cells]
    assert names[2:] == [(f"check.{kind}", "all as recorded") for kind in KINDS]


def test_drift_fails_its_cell_or_is_a_case_of_its_own(cells):
    drifts = [
        Drift("prompt", "one cell", "a", "b", 3, "--- recorded\n+++ now\n-Output:\n+Answer:"),
        Drift("prompt", "another cell", "a", "b"),
        Drift("aggregate", cell_name(cells[1]), "accuracy 50", "accuracy 60"),
        Drift("aggregate", "a cell that is new", "no such cell", "accuracy 60"),
    ]
    suite = parsed(junit_xml("small", cells, drifts, 0))
    failed = {case.get("name"): case.find("failure") for case in suite if case.find("failure") is not None}
    assert set(failed) == {"one cell", "another cell", cell_name(cells[1]), "a cell that is new"}
    assert "\n+Answer:" in failed["one cell"].text and failed["one cell"].get("message") == "prompt: a -> b"
    assert len(suite) == 2 + 1 + (len(KINDS) - 1) + 2


@given(st.text(), st.text(st.characters(codec=None)))
def test_no_text_breaks_the_xml(name, text):
    drift = Drift("edited replies", text, text, text, 1, text)
    suite = parsed(junit_xml(name, [], [drift], 0))
    (failure,) = suite.findall("testcase/failure")
    assert failure.get("type") == "edited replies"
    for code in (0, 0x1B, 0x202E, 0xD800, 0xFFFE, 0xFFFF):
        assert chr(code) not in (failure.text or "") and chr(code) not in (failure.get("message") or "")
