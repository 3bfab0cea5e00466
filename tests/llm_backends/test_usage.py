"""Usage adds up."""

from __future__ import annotations

from decimal import Decimal

from llm_backends.openai.backend import OpenAIBackend
from llm_backends.openai.options import ServerOptions
from llm_backends.scripted.backend import ScriptedBackend
from llm_backends.usage import Metered, Usage


def test_sums() -> None:
    first = Usage(
        answers=1,
        calls=3,
        failures={"429": 2},
        prompt_tokens=10,
        completion_tokens=2,
        dollars=Decimal("0.1"),
        slow_paths={"slow": 2},
    )
    second = Usage(answers=1, calls=2, failures={"cut": 1}, prompt_tokens=5, estimated_calls=1, estimated_tokens=5)
    second = second.model_copy(update={"slow_paths": {"slow": 1, "slower": 4}})
    both = first.plus(second)
    assert both == Usage(
        answers=2, calls=5, failures={"429": 2, "cut": 1}, prompt_tokens=15, completion_tokens=2, estimated_calls=1,
        estimated_tokens=5, dollars=Decimal("0.1"), unpriced_tokens=5, slow_paths={"slow": 3, "slower": 4},
    )  # fmt: skip
    assert both.tokens == 17 and Usage().plus(Usage()) == Usage()
    assert Usage.model_validate_json(both.model_dump_json()) == both


def test_usage_as_text() -> None:
    assert str(Usage(answers=1, calls=2, prompt_tokens=1200)) == "1 answers in 2 calls, 1,200 tokens in and 0 out"
    said = str(Usage(estimated_calls=1, estimated_tokens=9, dollars=Decimal("0.5")))
    assert "9 of them estimated, for 1 calls" in said and said.endswith("$0.500000")


def test_dollars_say_which_tokens_they_leave_out() -> None:
    """A command without price= among others: its tokens are not free."""
    priced, unpriced = Usage(prompt_tokens=100, dollars=Decimal("0.5")), Usage(prompt_tokens=3, completion_tokens=4)
    for commands in ([priced, unpriced, priced], [unpriced, priced, priced], [priced, priced, unpriced]):
        total = Usage()
        for one in commands:
            total = total.plus(one)
        assert (total.dollars, total.unpriced_tokens) == (Decimal("1.0"), 7)
        assert str(total).endswith("$1.000000 for all but 7 tokens, of commands without a price")
    assert str(priced.plus(priced)).endswith("$1.000000") and "$" not in str(unpriced.plus(unpriced))


def test_adjustments_add_up() -> None:
    one = Usage(adjustments={"cut": 1})
    assert one.plus(Usage(adjustments={"cut": 2, "left out": 1})).adjustments == {"cut": 3, "left out": 1}


def test_metered_backends() -> None:
    assert isinstance(OpenAIBackend("m", ServerOptions()), Metered) and not isinstance(ScriptedBackend(), Metered)
