"""Options of a server: budgets, prices, URLs and endpoints."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from llm_backends.errors import BackendInputError
from llm_backends.openai.options import OPENAI_URL, OWN_FIELDS, Budget, Price, ServerOptions, place_of
from llm_backends.options import parse_options
from llm_backends.registry import find_backend


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
def test_invalid_budgets_are_refused(text: str) -> None:
    with pytest.raises(BackendInputError, match=r"5usd, 0\.25usd or 200000tok"):
        Budget.parse(text)


def test_prices_are_exact() -> None:
    assert Price.parse("0.15,0.60").of(1_000_000, 500_000) == Decimal("0.45")
    # In binary fractions, ten times a tenth of a cent is no cent.
    assert sum((Price.parse("0.1,0").of(10_000, 0) for _ in range(10)), Decimal(0)) == Decimal("0.01")


@pytest.mark.parametrize("text", ["", "1", "1,", ",1", "1,2,3", "-1,2", "1;2", "a,b", "1, 2", "1e1,2"])
def test_invalid_prices_are_refused(text: str) -> None:
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
def test_a_url_becomes_a_place(url: str, place: str) -> None:
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
def test_invalid_urls_are_refused_without_quoting_secrets(url: str, words: str) -> None:
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
def test_api_of_a_model(url: str, model: str, api: str) -> None:
    assert ServerOptions(base_url=url).api_of(model) == api
    for said in ("chat", "completions"):
        assert ServerOptions(base_url=url, api=said).api_of(model) == said  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ({"concurrency": "0"}, "concurrency=0"),
        ({"concurrency": "10000"}, "concurrency=10000"),
        ({"concurrency": "many"}, "concurrency=many"),
        ({"max_attempts": "0"}, "max_attempts=0"),
        ({"timeout": "0"}, "timeout=0"),
        ({"timeout": "-1"}, "timeout=-1"),
        ({"timeout": "nan"}, "timeout=nan"),
        ({"timeout": "inf"}, "timeout=inf"),
        ({"api": "both"}, "api=both"),
        ({"key_env": "A", "key_file": "b"}, "give one"),
        ({"budget": "5usd"}, "price="),
        ({"budget": "5"}, "budget is dollars or tokens"),
        ({"price": "1"}, "IN,OUT"),
        ({"echo_logprobs": "perhaps"}, "echo_logprobs=perhaps"),
        ({"attempts": "3"}, "no option 'attempts'.*max_attempts.*known: base_url, api, key_env, key_file"),
    ],
)
def test_invalid_options_are_one_line(pairs: dict[str, str], words: str) -> None:
    with pytest.raises(BackendInputError, match=words) as caught:
        parse_options(find_backend("openai:m")[0], pairs)
    assert "\n" not in str(caught.value)


def test_options_are_parsed_from_text() -> None:
    pairs = {"base_url": "http://h:1/v1", "api": "chat", "concurrency": "3", "timeout": "2.5", "max_attempts": "2"}
    pairs |= {"budget": "5usd", "price": "1,2", "tokenizer": "folder", "echo_logprobs": "true", "key_file": "k"}
    assert parse_options(find_backend("openai:m")[0], pairs) == ServerOptions(
        base_url="http://h:1/v1", api="chat", concurrency=3, timeout=2.5, max_attempts=2, budget=Budget.parse("5usd"),
        price=Price.parse("1,2"), tokenizer=Path("folder"), echo_logprobs=True, key_file=Path("k"),
    )  # fmt: skip


def test_further_fields_and_headers() -> None:
    entry = find_backend("openai:m")[0]
    pairs = {
        "body.repeat_penalty": "1.0",
        "body.chat_template_kwargs": '{"enable_thinking": false}',
        "body.n_probs": "0",
    }
    pairs |= {"body.mode": "none", "body.odd": "NaN", "header.X-Route": "a=b"}
    options = parse_options(entry, pairs)
    assert isinstance(options, ServerOptions) and options.header == {"X-Route": "a=b"}
    assert options.body == {
        "repeat_penalty": 1.0, "chat_template_kwargs": {"enable_thinking": False}, "n_probs": 0, "mode": "none",
        "odd": "NaN",
    }  # fmt: skip
    other = parse_options(entry, dict(reversed(pairs.items())) | {"header.x-route": "a=b"})
    assert isinstance(other, ServerOptions) and ServerOptions().further == ""
    assert options.further.endswith(',"header":{"x-route":"a=b"}}') and options.further == other.further


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *((f"body.{name}", "decided by the run") for name in sorted(OWN_FIELDS)),
        *((f"header.{name}", "decided by the protocol") for name in ("Host", "Accept-Encoding", "content-length")),
        *((f"header.{name}", "name the key with key_env") for name in ("Authorization", "X-API-Key", "Cookie")),
        ("body.api_key", "name the key with key_env"),
        ("header.X Y", "printable ASCII"),
        ("header.X\n", "printable ASCII"),
        ("body", r"did you mean 'body\.NAME'"),
        ("body.", r"body\.NAME"),
        ("boddy.x", r"known: .*body\.NAME, header\.NAME"),
        ("base_url.x", "no option"),
    ],
)
def test_fields_that_may_not_be_sent(name: str, words: str) -> None:
    with pytest.raises(BackendInputError, match=words) as caught:
        parse_options(find_backend("openai:m")[0], {name: "1"})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["a\nb", "é", "a\x00"])
def test_header_values_are_one_printable_line(value: str) -> None:
    with pytest.raises(BackendInputError, match="printable ASCII"):
        ServerOptions(header={"X-A": value})


def test_the_base_url_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert ServerOptions().base_url == OPENAI_URL
    monkeypatch.setenv("OPENAI_BASE_URL", "http://other:2/v1")
    assert ServerOptions().base_url == "http://other:2/v1"
    assert ServerOptions(base_url=OPENAI_URL).base_url == OPENAI_URL


def test_azure_deployments_and_their_query() -> None:
    options = ServerOptions(base_url="https://r.openai.azure.com/openai/deployments/d?api-version=2024-06-01")
    assert options.on_azure_deployment and options.query == {"api-version": "2024-06-01"}
    assert options.plain_url == "https://r.openai.azure.com/openai/deployments/d"
    assert not ServerOptions(base_url="https://r.openai.azure.com/openai/v1").on_azure_deployment
    assert not ServerOptions(base_url="https://evil.example/deployments/openai.azure.com").on_azure_deployment
