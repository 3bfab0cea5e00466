"""Local models against one full pass over one sequence at a time, and transformers' own generate."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from llm_backends.errors import BackendError, BackendInputError, BackendUnavailable, CallFailed, PromptTooLong
from llm_backends.local.backend import LocalBackend
from llm_backends.local.folder import FolderSource
from llm_backends.protocol import Backend, CompletionRequest, LikelihoodRequest, Request, Streams
from llm_backends.text_tokenizer import PlainTokenizer

HEAD = "For each of the following input output pairs, output is one of ['lion', 'vase']\n###\nInput: cat\nOutput:"
CONTEXTS = [
    HEAD,
    HEAD + " lion\n###\nInput: truck\nOutput:",
    HEAD + " lion\n###\nInput: truck\nOutput: vase\n###\nInput: vase\nOutput:",
    "This is a",
    "x",
]
NAMES = (" lion\n", " vase\n", " truck\n", " cat", " a lion or a cat, what is this?")


def backend(folder: Path, **options: int) -> LocalBackend:
    return LocalBackend(FolderSource(folder, "float32"), **options)


def naive_sum(folder: Path, context: str, continuation: str) -> float:
    """Sum of the continuation's log-probabilities by one pass without a cache; ids straight from the tokenizer."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    before, whole = tokenizer.encode(context).ids, tokenizer.encode(context + continuation).ids
    assert whole[: len(before)] == before, "this oracle needs texts that split at the border"
    with torch.no_grad():
        logits = model(torch.tensor([whole]), use_cache=False).logits[0]
    probabilities = torch.log_softmax(logits.double(), dim=-1)
    return sum(float(probabilities[i - 1, whole[i]]) for i in range(len(before), len(whole)))


def generated(folder: Path, prompt: str, tokens: int) -> str:
    """Greedy text by transformers' own loop."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.tensor([tokenizer.encode(prompt).ids])
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, pad_token_id=0
    )
    new = [i for i in out[0, ids.shape[1] :].tolist() if i != 0]
    return tokenizer.decode(new, skip_special_tokens=False)


@pytest.mark.parametrize("model", ["tiny_llama", "tiny_sliding"])
def test_likelihoods_equal_one_by_one_scoring(model: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(model)
    asked = [LikelihoodRequest(context=context, continuations=NAMES) for context in CONTEXTS]
    for question, reply in zip(asked, backend(folder).loglikelihood(asked), strict=True):
        expected = [naive_sum(folder, question.context, name) for name in NAMES]
        assert reply.values == pytest.approx(expected, abs=1e-4)


def test_likelihoods_do_not_depend_on_order_or_batch(tiny_llama: Path) -> None:
    asked = [LikelihoodRequest(context=context, continuations=NAMES) for context in CONTEXTS]
    alone = {q.context: backend(tiny_llama).loglikelihood([q])[0].values for q in asked}
    for order in itertools.islice(itertools.permutations(asked), 0, 120, 17):
        one = backend(tiny_llama)
        one_by_one = [one.loglikelihood([q])[0].values for q in order]
        together = [reply.values for reply in backend(tiny_llama).loglikelihood(order)]
        for question, a, b in zip(order, one_by_one, together, strict=True):
            assert a == pytest.approx(alone[question.context], abs=1e-4)
            assert b == pytest.approx(alone[question.context], abs=1e-4)
    for name, value in zip(NAMES, alone[HEAD], strict=True):
        single = backend(tiny_llama).loglikelihood([LikelihoodRequest(context=HEAD, continuations=(name,))])
        assert single[0].values == pytest.approx((value,), abs=1e-4)


def test_more_continuations_than_fit_in_a_batch(tiny_llama: Path) -> None:
    names = tuple(f" {i} lion"[: 2 + i % 7] for i in range(70))
    (reply,) = backend(tiny_llama).loglikelihood([LikelihoodRequest(context="This is a", continuations=names)])
    for i in (0, 31, 32, 69):
        assert reply.values[i] == pytest.approx(naive_sum(tiny_llama, "This is a", names[i]), abs=1e-4)


def test_shared_prefixes_run_once(tiny_llama: Path) -> None:
    one = backend(tiny_llama)
    one.loglikelihood([LikelihoodRequest(context=HEAD, continuations=NAMES)])
    read = one._runner.tokens_run
    assert read == one.count_tokens(HEAD)
    longer = CONTEXTS[1]
    one.loglikelihood([LikelihoodRequest(context=longer, continuations=NAMES)])
    assert one._runner.tokens_run - read == one.count_tokens(longer) - one.count_tokens(HEAD)


@pytest.mark.parametrize("model", ["tiny_llama", "tiny_sliding"])
@pytest.mark.parametrize("rows", [1, 2, 8])
def test_greedy_equals_generate(model: str, rows: int, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(model)
    lengths = [12, 1, 5, 12, 3]
    asked = [CompletionRequest(prompt=p, max_new_tokens=n) for p, n in zip(CONTEXTS, lengths, strict=True)]
    texts = [reply.text for reply in backend(folder, rows=rows).complete(asked)]
    assert texts == [generated(folder, p, n) for p, n in zip(CONTEXTS, lengths, strict=True)]
    assert len(set(texts)) > 2, "a model that says one thing only would prove nothing"


def test_replies_stop_at_stop_strings(tiny_llama: Path) -> None:
    one = backend(tiny_llama)
    (whole,) = one.complete([CompletionRequest(prompt=HEAD, max_new_tokens=12)])
    assert whole.finish == "length"
    late, early = whole.text[6:8], whole.text[3:5]
    (cut,) = one.complete([CompletionRequest(prompt=HEAD, max_new_tokens=12, stop=(late, early))])
    assert (cut.text, cut.finish) == (whole.text[: min(whole.text.find(late), whole.text.find(early))], "stop")


def test_a_reply_ends_at_the_end_token(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = backend(tiny_llama)
    (whole,) = one.complete([CompletionRequest(prompt=HEAD, max_new_tokens=6)])
    chosen = [int(one._runner.prefill([one.text_tokenizer.encode(HEAD)])[0].logits.argmax())]
    monkeypatch.setitem(one.__dict__, "_end_tokens", frozenset(chosen))
    (ended,) = one.complete([CompletionRequest(prompt=HEAD, max_new_tokens=6)])
    assert whole.text and (ended.text, ended.finish) == ("", "stop")


def test_sampling_depends_on_its_seed_not_its_batch(tiny_llama: Path) -> None:
    hot = [CompletionRequest(prompt=p, max_new_tokens=8, temperature=1.5, seed=s) for p in CONTEXTS for s in (0, 1)]
    together = [reply.text for reply in backend(tiny_llama).complete(hot)]
    alone = [backend(tiny_llama).complete([question])[0].text for question in hot]
    assert together == alone
    assert any(together[i] != together[i + 1] for i in range(0, len(hot), 2)), "the seed changes nothing"


def test_sampling_follows_the_models_probabilities(tiny_llama: Path) -> None:
    one = backend(tiny_llama)
    probabilities = torch.softmax(
        one._runner.prefill([one.text_tokenizer.encode("This is a")])[0].logits.double() / 0.7, dim=-1
    )
    top = int(probabilities.argmax())
    text = one.text_tokenizer.decode_after(one.text_tokenizer.encode("This is a"), [top])
    asked = [CompletionRequest(prompt="This is a", max_new_tokens=1, temperature=0.7, seed=s) for s in range(300)]
    share = sum(reply.text == text for reply in one.complete(asked)) / 300
    expected = float(probabilities[top])
    assert 0.05 < expected < 0.98
    assert share == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 300) ** 0.5)


def test_samples_differ_and_do_not_depend_on_how_many(tiny_llama: Path) -> None:
    hot = CompletionRequest(prompt=HEAD, max_new_tokens=8, temperature=1.5, n=5, seed=3)
    (five,) = backend(tiny_llama).complete([hot])
    (two,) = backend(tiny_llama).complete([hot.model_copy(update={"n": 2})])
    (one,) = backend(tiny_llama).complete([hot.model_copy(update={"n": 1})])
    assert five.choices[:2] == two.choices and two.choices[:1] == one.choices
    assert len({choice.text for choice in five.choices}) > 2
    assert backend(tiny_llama, rows=1).complete([hot]) == [five]


def test_samples_follow_the_models_probabilities(tiny_llama: Path) -> None:
    one = backend(tiny_llama)
    probabilities = torch.softmax(
        one._runner.prefill([one.text_tokenizer.encode("This is a")])[0].logits.double() / 0.7, dim=-1
    )
    top = int(probabilities.argmax())
    text = one.text_tokenizer.decode_after(one.text_tokenizer.encode("This is a"), [top])
    (reply,) = one.complete([CompletionRequest(prompt="This is a", max_new_tokens=1, temperature=0.7, n=300)])
    share = sum(choice.text == text for choice in reply.choices) / 300
    expected = float(probabilities[top])
    assert share == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 300) ** 0.5)


def test_a_tiny_temperature_is_greedy(tiny_llama: Path) -> None:
    greedy, cold = (CompletionRequest(prompt=HEAD, max_new_tokens=6, temperature=t) for t in (0.0, 1e-300))
    (expected,), (found,) = backend(tiny_llama).complete([greedy]), backend(tiny_llama).complete([cold])
    assert found == expected


def test_token_ids_are_used_unchanged(tiny_llama: Path, marking_tokenizer_folder: Path) -> None:
    one = backend(tiny_llama)
    (text,) = one.complete([CompletionRequest(prompt=HEAD, max_new_tokens=6)])
    (ids,) = one.complete([CompletionRequest(prompt=tuple(one.text_tokenizer.encode(HEAD)), max_new_tokens=6)])
    assert ids == text
    marking = PlainTokenizer.read(marking_tokenizer_folder)
    assert marking.checked((5, 6)) == [5, 6], "no leading mark is added to ids"
    for wrong in (340, -1):
        with pytest.raises(BackendInputError, match=f"got {wrong}"):
            one.complete([CompletionRequest(prompt=(5, wrong), max_new_tokens=1)])


def test_one_bad_prompt_does_not_affect_other_replies(tiny_llama: Path) -> None:
    one = backend(tiny_llama, rows=2)
    assert isinstance(one, Streams)
    asked: list[Request] = [CompletionRequest(prompt=context, max_new_tokens=2) for context in CONTEXTS]
    asked.insert(1, CompletionRequest(prompt=HEAD * 20, max_new_tokens=2))
    asked.append(LikelihoodRequest(context="This is a", continuations=NAMES))
    found = dict(one.stream(asked))
    assert sorted(found) == list(range(len(asked)))
    assert [index for index, reply in found.items() if isinstance(reply, PromptTooLong)] == [1]
    assert next(iter(found)) == 1, "what needs no computing comes first"


def test_numbers_that_are_not_finite_fail_alone(tiny_llama: Path) -> None:
    one = backend(tiny_llama)
    token = one.text_tokenizer.encode(" truck")[-1]
    assert token not in one.text_tokenizer.encode("This is a")

    def spoil(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        return output.masked_fill((inputs[0] == token)[..., None], float("nan"))

    one._runner.model.get_input_embeddings().register_forward_hook(spoil)
    asked = [CompletionRequest(prompt=prompt, max_new_tokens=1) for prompt in ("This is a", "This is a truck")]
    found = dict(one.stream(asked))
    assert not isinstance(found[0], BackendError)
    assert isinstance(found[1], CallFailed) and "use float32" in str(found[1])
    (broken,) = dict(one.stream([LikelihoodRequest(context="a truck", continuations=(" lion",))])).values()
    assert isinstance(broken, CallFailed)


def test_too_long_is_refused_before_anything_runs(tiny_llama: Path) -> None:
    one = backend(tiny_llama)
    room = 256 - one.count_tokens(HEAD)
    fits = CompletionRequest(prompt=HEAD, max_new_tokens=room)
    with pytest.raises(PromptTooLong, match=r"257 tokens, tiny-llama takes 256: use fewer shots"):
        one.complete([fits, CompletionRequest(prompt=HEAD, max_new_tokens=room + 1)])
    with pytest.raises(PromptTooLong, match="takes 256"):
        one.loglikelihood([LikelihoodRequest(context=HEAD * 30, continuations=(" lion",))])
    assert "_runner" not in one.__dict__, "weights were loaded for a prompt that cannot fit"
    assert one.complete([fits])[0].finish in ("length", "stop")


def test_identity_and_counting_load_no_weights(tiny_llama: Path) -> None:
    one = backend(tiny_llama)
    assert isinstance(one, Backend)
    assert one.identity.model == "tiny-llama" and one.identity.dtype == "float32" and len(one.identity.revision) == 64
    assert one.capabilities.context_length == 256 and one.count_tokens("lion") > 0
    assert "_runner" not in one.__dict__


@pytest.mark.parametrize(
    ("question", "message"),
    [
        pytest.param(CompletionRequest(prompt="", max_new_tokens=1), "at least one character", id="empty prompt"),
        pytest.param(CompletionRequest(prompt="a", max_new_tokens=1, stop=("",)), "stop string", id="empty stop"),
    ],
)
def test_wrong_requests_are_refused(tiny_llama: Path, question: CompletionRequest, message: str) -> None:
    with pytest.raises(BackendInputError, match=message):
        backend(tiny_llama).complete([question])


def test_pickled_weights_are_not_read(tiny_llama: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((tiny_llama / name).read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(BackendUnavailable, match="safetensors"):
        backend(tmp_path).complete([CompletionRequest(prompt="a", max_new_tokens=1)])


def test_no_requests_load_nothing(tiny_llama: Path) -> None:
    one = backend(tiny_llama)
    assert one.complete([]) == [] and one.loglikelihood([]) == []
    assert "_runner" not in one.__dict__
