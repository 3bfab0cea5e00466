"""What is wrong with a file, in words for one line."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from results.errors import first_fault


class Inner(BaseModel):
    count: int


class Outer(BaseModel):
    parts: list[Inner]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"parts": [{"count": 1}, {"count": "secret"}]}', "parts.1.count: Input should be a valid integer"),
        ('{"parts": [{}], "count": 3}', "parts.0.count: Field required"),
        ("[]", "page: Input should be an object"),
        ("{", "page: Invalid JSON"),
    ],
)
def test_the_first_fault_is_named_by_its_place_and_without_its_value(text: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate_json(text)
    found = first_fault(caught.value, "page")
    assert found.startswith(said) and "secret" not in found and "\n" not in found
    assert (text == "{") == first_fault(caught.value).startswith("file: Invalid JSON")
