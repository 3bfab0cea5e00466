"""A check as JUnit XML, which build servers read: one test case per cell, and one per drift."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

from results.analysis.aggregate import Cell
from results.display import visible
from results.regression.drift import CAUSES, Drift, cell_name

KINDS = (
    "model", "context length", "manifest", "tokenizer", "metric", "setting of the run", "data", "edited replies",
    "scorer", "record", "missing reply", *(kind for kind, _ in CAUSES),
)  # fmt: skip
"""Every kind of drift but "aggregate", whose test cases are the cells."""
# What XML 1.0 cannot hold, not even escaped; `visible` spells out all of it but the last two.
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def junit_xml(name: str, cells: Iterable[Cell], drifts: Sequence[Drift], seconds: float) -> str:
    """The text of the file.

    Args:
        name: of the baseline.
        cells: those recorded; each is a test case, which fails if its aggregate drifted.
        drifts: as `find_drifts` gives them. A kind without a drift is one passed test case.
        seconds: wall time of the check.
    """
    aggregates = {drift.where: drift for drift in drifts if drift.kind == "aggregate"}
    cases = [("aggregate", where, aggregates.pop(where, None)) for where in dict.fromkeys(map(cell_name, cells))]
    cases += [("aggregate", where, drift) for where, drift in aggregates.items()]
    for kind in dict.fromkeys([*KINDS, *(drift.kind for drift in drifts if drift.kind != "aggregate")]):
        found = [drift for drift in drifts if drift.kind == kind]
        cases += [(kind, drift.where, drift) for drift in found] or [(kind, "all as recorded", None)]

    failures = sum(drift is not None for _, _, drift in cases)
    counts = {"tests": str(len(cases)), "failures": str(failures), "errors": "0", "time": f"{seconds:.3f}"}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": _text(f"check {name}"), "skipped": "0", **counts})
    for kind, where, drift in cases:
        case = ElementTree.SubElement(suite, "testcase", {"classname": _text(f"check.{kind}"), "name": _text(where)})
        if drift is not None:
            message = f"{drift.kind}: {drift.recorded} -> {drift.now}"
            failure = ElementTree.SubElement(case, "failure", {"type": _text(drift.kind), "message": _text(message)})
            failure.text = _text(f"{drift.where}\nrecorded: {drift.recorded}\nnow: {drift.now}\n{drift.diff}")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _text(text: str) -> str:
    return FORBIDDEN.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", visible(text))
