"""Options of a server: budgets, prices, addresses, and which of the two ways a model is asked."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from llm_backends.errors import BackendInputError
from llm_backends.openai.options import Budget, Price, ServerOptions, place_of


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [("5usd", "5", "usd"), ("0.25usd", "0.25", "usd"), ("200000tok", "200000", "tok")],
)
def test_budgets(text: str, amount: str, unit: str) -> None:
    found = Budget.parse(text)
    assert (found.amount, found.unit) == (Decimal(amount), unit)


@pytest.mark.parametrize(
    "text",
    ["", "5", "usd", "5 usd", "$5", "5USD", "-5usd", "0usd", "0.0usd", "0tok", "1.5tok", "1e6tok", "nanusd", "infusd",
     "5usd ", "5usd,6tok", "٣usd"],
)  # fmt: skip
def test_no_budgets(text: str) -> None:
    with pytest.raises(BackendInputError, match=r"5usd, 0\.25usd or 200000tok"):
        Budget.parse(text)


def test_prices_are_exact() -> None:
    assert Price.parse("0.15,0.60").of(1_000_000, 500_000) == Decimal("0.45")
    # In binary fractions, ten times a tenth of a cent is no cent.
    assert sum((Price.parse("0.1,0").of(10_000, 0) for _ in range(10)), Decimal(0)) == Decimal("0.01")


@pytest.mark.parametrize("text", ["", "1", "1,", ",1", "1,2,3", "-1,2", "1;2", "a,b", "1, 2", "1e1,2"])
def test_no_prices(text: str) -> None:
    with pytest.raises(BackendInputError, match="IN,OUT"):
        Price.parse(text)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://localhost:8000/v1", "localhost:8000/v1"),
        ("http://LOCALHOST:8000/v1/", "localhost:8000/v1"),
        ("https://api.openai.com/v1", "api.openai.com/v1"),
        ("https://api.openai.com:443//v1//", "api.openai.com/v1"),
        ("http://api.openai.com/v1", "api.openai.com:80/v1"),
        ("http://[::1]:8080/v1", "[::1]:8080/v1"),
        ("https://r.openai.azure.com/openai/deployments/d?api-version=2", "r.openai.azure.com/openai/deployments/d"),
        ("http://10.0.0.1", "10.0.0.1:80"),
    ],
)  # fmt: skip
def test_places(url: str, place: str) -> None:
    assert place_of(url) == place


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:8000", "http"),
        ("ftp://h/v1", "http"),
        ("http://", "http"),
        ("", "http"),
        ("http://h:notaport/v1", "cannot be read"),
        ("http://h:99999/v1", "cannot be read"),
        ("http://user:hunter2secret@h/v1", "user or password"),
        ("http://hunter2secret@h/v1", "user or password"),
        ("https://h/v1?key=hunter2secret", "query"),
        ("https://h/v1?api_key=hunter2secret", "query"),
        ("https://h/v1#hunter2secret", "'#'"),
        ("http://h/v 1", "space"),
        ("http://h/v1\n", "space"),
        ("http://h/v1/chat/completions", "leave that out"),
        ("http://h/v1/completions/", "leave that out"),
    ],
)
def test_addresses_that_are_refused(url: str, words: str) -> None:
    with pytest.raises(BackendInputError, match=words) as caught:
        ServerOptions(base_url=url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "model", "api"),
    [
        ("http://localhost:8000/v1", "anything", "completions"),
        ("https://api.openai.com/v1", "gpt-4o-mini", "chat"),
        ("https://api.openai.com/v1", "gpt-3.5-turbo-instruct", "completions"),
        ("https://api.anthropic.com/v1", "claude", "chat"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini", "chat"),
    ],
)
def test_the_way_a_model_is_asked(url: str, model: str, api: str) -> None:
    assert ServerOptions(base_url=url).api_of(model) == api
    for said in ("chat", "completions"):
        assert ServerOptions(base_url=url, api=said).api_of(model) == said  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"concurrency": 0}, "--concurrency"),
        ({"concurrency": 10_000}, "--concurrency"),
        ({"attempts": 0}, "--attempts"),
        ({"timeout": 0.0}, "--timeout"),
        ({"timeout": -1.0}, "--timeout"),
        ({"timeout": float("nan")}, "--timeout"),
        ({"timeout": float("inf")}, "--timeout"),
        ({"context_length": 1}, "--context-length"),
        ({"key_env": "A", "key_file": Path("b")}, "give one"),
        ({"budget": Budget.parse("5usd")}, "--price"),
    ],
)
def test_options_that_do_not_go(fields: dict[str, object], words: str) -> None:
    with pytest.raises(BackendInputError, match=words):
        ServerOptions(**fields)  # type: ignore[arg-type]


def test_azure_deployments_and_their_query() -> None:
    options = ServerOptions(base_url="https://r.openai.azure.com/openai/deployments/d?api-version=2024-06-01")
    assert options.on_azure_deployment and options.query == {"api-version": "2024-06-01"}
    assert options.plain_url == "https://r.openai.azure.com/openai/deployments/d"
    assert not ServerOptions(base_url="https://r.openai.azure.com/openai/v1").on_azure_deployment
    assert not ServerOptions(base_url="https://evil.example/deployments/openai.azure.com").on_azure_deployment
