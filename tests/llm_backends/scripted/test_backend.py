"""The scripted model: its replies, its token counts and its failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_backends.errors import BackendInputError, BackendUnavailable, CallFailed, PromptTooLong
from llm_backends.options import NoOptions
from llm_backends.protocol import Backend, Choice, Completion, CompletionRequest, LikelihoodRequest
from llm_backends.scripted.backend import Script, ScriptedBackend, open_scripted

ASK = CompletionRequest(prompt="Q", max_new_tokens=9)


def test_answers_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    path.write_text('{"completions": {"Q": " lion\\n more"}, "default": "no", "likelihoods": {"Q": {" a": -1.5}}}')
    model = open_scripted(str(path), dtype="float32", device="auto", options=NoOptions())
    assert isinstance(model, Backend)
    assert model.complete([ASK, CompletionRequest(prompt="Z", max_new_tokens=1)])[1].text == "no"
    assert model.complete([ASK.model_copy(update={"stop": ("\n",)})]) == [
        Completion(choices=(Choice(text=" lion", finish="stop"),))
    ]
    assert model.complete([ASK.model_copy(update={"max_new_tokens": 1})]) == [
        Completion(choices=(Choice(text=" lion", finish="length"),))
    ]
    assert model.loglikelihood([LikelihoodRequest(context="Q", continuations=(" a",))])[0].values == (-1.5,)
    assert (model.calls, len(model.asked)) == (4, 5)


def test_prompts_missing_from_the_script_fail() -> None:
    model = ScriptedBackend(Script(completions={"Q": "a"}))
    with pytest.raises(CallFailed, match="no reply to 'Z'"):
        model.complete([CompletionRequest(prompt="Z", max_new_tokens=1)])
    with pytest.raises(CallFailed, match="no value for ' b' after 'Q'"):
        model.loglikelihood([LikelihoodRequest(context="Q", continuations=(" b",))])


def test_functions_reply() -> None:
    model = ScriptedBackend(name="f", reply=str.upper, likelihood=lambda context, text: -float(len(text)))
    assert model.complete([CompletionRequest(prompt="abc", max_new_tokens=3)])[0].text == "ABC"
    assert model.loglikelihood([LikelihoodRequest(context="x", continuations=("a", "bb"))])[0].values == (-1, -2)
    assert model.identity.revision == "function"


def test_failures_are_raised_once_at_their_number() -> None:
    model = ScriptedBackend(Script(default="a"), failures={2: CallFailed("the line went dead")})
    assert model.complete([ASK])[0].text == "a"
    with pytest.raises(CallFailed, match="dead"):
        model.complete([ASK])
    assert model.complete([ASK])[0].text == "a"


def test_length_is_counted_in_words() -> None:
    model = ScriptedBackend(Script(default="a", context_length=4))
    assert model.complete([CompletionRequest(prompt="one two", max_new_tokens=2)])
    with pytest.raises(PromptTooLong, match="5 words, scripted takes 4"):
        model.complete([CompletionRequest(prompt="one two three", max_new_tokens=2)])
    with pytest.raises(PromptTooLong):
        model.loglikelihood([LikelihoodRequest(context="one two three", continuations=(" four five",))])
    assert len(model.asked) == 1


def test_the_revision_follows_the_script() -> None:
    revisions = {ScriptedBackend(script).identity.revision for script in (Script(), Script(default="a"))}
    assert len(revisions) == 2
    assert ScriptedBackend(Script(default="a")).identity == ScriptedBackend(Script(default="a")).identity


@pytest.mark.parametrize(
    ("content", "message"),
    [('{"defaults": "x"}', "defaults"), ("[1]", "object"), ("nonsense", "JSON"), ('{"default": 3}', "default")],
)
def test_invalid_scripts_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(BackendInputError, match=message):
        open_scripted(str(path), dtype="float32", device="auto", options=NoOptions())


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="readable JSON"):
        open_scripted(str(tmp_path / "none.json"), dtype="float32", device="auto", options=NoOptions())


def test_samples_cycle_through_the_texts() -> None:
    model = ScriptedBackend(Script(completions={"Q": ("a", "b")}, default="c"))
    hot = ASK.model_copy(update={"temperature": 1.0, "n": 3})
    replies = model.complete([hot, hot.model_copy(update={"prompt": "Z"})])
    assert [[choice.text for choice in reply.choices] for reply in replies] == [["a", "b", "a"], ["c", "c", "c"]]
    with pytest.raises(BackendInputError, match="temperature above 0"):
        model.complete([ASK.model_copy(update={"n": 2})])
    with pytest.raises(BackendInputError, match="token ids"):
        model.complete([ASK.model_copy(update={"prompt": (1, 2)})])
