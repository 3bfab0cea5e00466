"""Tokenizers to folders and to a hub on localhost, and back, by huggingface_hub's own client."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest

import spae
from spae.cache_folder import cache_folder
from spae.errors import InputError, WeightsError
from spae.tokenizers import hub_files
from spae.tokenizers.build import config_text
from spae.tokenizers.hub_files import hub_name
from spae.tokenizers.lexical import LexicalTokenizer
from spae.tokenizers.registry import open_tokenizer
from spae.vocabulary import saved_vocabulary_path
from tests.spae.tokenizers.fake_hub import FakeHub, start_hub


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on localhost that this process's huggingface_hub asks."""
    found, server = start_hub()
    found.use(monkeypatch, tmp_path / "hub-cache")
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def published(hub: FakeHub, tiny_folder: Path) -> FakeHub:
    """A hub with the tiny model as me/tiny."""
    hub.commit("me/tiny", {file.name: file.read_bytes() for file in tiny_folder.iterdir()} | {"README.md": b"tiny"})
    return hub


def refused(source, rule, **options):
    with pytest.raises(WeightsError, match=rule) as caught:
        LexicalTokenizer.from_pretrained(source, **options)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def change_config(hub: FakeHub, **values):
    config = json.loads(hub.models["me/tiny"][-1][1]["config.json"])
    hub.commit("me/tiny", {"config.json": json.dumps(config | values).encode()})


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"latent_scale": 1.0}, id="SPAE"),
        pytest.param({"quantizer": "vq", "codebook": "learned"}, id="VQGAN"),
        pytest.param({"quantizer": "rq"}, id="RQ"),
        pytest.param(
            {"quantizer": "vq", "codebook": "frozen", "l2_normalize": True}, id="LQAE without its language model"
        ),
    ],
)
def test_a_saved_tokenizer_comes_back_the_same(tmp_path, tiny, save_model, image_batch, fields):
    save_model(tmp_path / "run", **fields)
    first = LexicalTokenizer.from_pretrained(tmp_path / "run")
    assert first.save_pretrained(tmp_path / "saved") is None
    again = spae.from_pretrained(tmp_path / "saved")
    assert again.fingerprint == first.fingerprint and again.name == first.name
    tokens = first.encode(list(image_batch))
    assert again.encode(list(image_batch)) == tokens
    for one, other in zip(first.decode(tokens), again.decode(tokens), strict=True):
        assert one.tobytes() == other.tobytes()
    assert {file.name for file in (tmp_path / "saved").iterdir()} == {"config.json", "model.safetensors", "README.md"}


def test_to_the_hub_and_back(hub, tiny_folder, tmp_path, image_batch):
    first = LexicalTokenizer.from_pretrained(tiny_folder)
    address = first.push_to_hub("me/tiny", commit_message="A tiny one", private=True)
    ((sha, files),) = hub.models["me/tiny"]
    assert address == f"{hub.url}/me/tiny/commit/{sha}"
    assert set(files) == {"config.json", "model.safetensors", "README.md"}
    assert b'spae.from_pretrained("me/tiny")' in files["README.md"]
    fetched = spae.from_pretrained("me/tiny")
    assert fetched.fingerprint == first.fingerprint
    assert fetched.encode(list(image_batch)) == first.encode(list(image_batch))
    fetched.save_pretrained(tmp_path / "copy", repo_id="you/copy", push_to_hub=True)
    assert hub.models["you/copy"][-1][1] == files, "the card goes along as its publisher left it"


def test_a_revision_is_the_one_asked_for(published, image_batch):
    change_config(published, name="second")
    assert spae.from_pretrained("me/tiny").name == "second"
    first = published.models["me/tiny"][0][0]
    for revision in (first, "v0"):
        assert spae.from_pretrained("me/tiny", revision=revision).name == "tiny"
    assert spae.from_pretrained("me/tiny@v1").name == "second"
    refused("me/tiny", "no revision 'v7'", revision="v7")
    with pytest.raises(InputError, match="names a revision"):
        spae.from_pretrained("me/tiny@v1", revision="v0")


def test_a_hub_name_on_the_command_line(published):
    change_config(published, name="second")
    assert open_tokenizer("hf:me/tiny").name == "second"
    assert [open_tokenizer(f"hf:me/tiny@v{i}").name for i in (0, 1)] == ["tiny@v0", "second@v1"]
    for wrong in ("hf:", "hf:tiny", "hf:../tiny", "hf:/etc/tiny", "hf:a/b/c"):
        with pytest.raises(InputError, match="OWNER/NAME"):
            open_tokenizer(wrong)


def test_only_named_files_are_downloaded(published):
    published.commit("me/tiny", {"pytorch_model.bin": b"\x80\x04.", "model.py": b"raise SystemExit", "../out": b"no"})
    published.asked.clear()
    spae.from_pretrained("me/tiny")
    fetched = {line.rpartition("/")[2] for line in published.asked if "/resolve/" in line}
    assert fetched == {"config.json", "model.safetensors", "README.md"}


def test_cached_downloads_work_without_a_network(published, monkeypatch, caplog):
    online = spae.from_pretrained("me/tiny")
    assert LexicalTokenizer.from_pretrained("me/tiny", local_files_only=True).fingerprint == online.fingerprint
    published.down = True
    with caplog.at_level(logging.WARNING):
        assert spae.from_pretrained("me/tiny").fingerprint == online.fingerprint
    assert "Could not reach the Hub" in caplog.text
    refused("me/other", "cannot be downloaded from the hub .* is not in the cache")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert spae.from_pretrained("me/tiny").fingerprint == online.fingerprint
    refused("me/other", "cannot be downloaded from the hub .* check the network, or name a folder")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert spae.from_pretrained("me/tiny").fingerprint == online.fingerprint
    refused("me/other", "is not in the cache")


def test_missing_models_and_files_are_errors(published):
    refused("me/tinny", "neither a folder nor a public model on the hub")
    published.closed.add("me/tiny")
    refused("me/tiny", "asks for consent")
    published.commit("me/empty", {"README.md": b"soon"})
    refused("me/empty", "holds no config.json")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "README.md"])
def test_a_file_too_large_is_not_downloaded(published, file):
    published.sizes[file] = hub_files.MAX_BYTES[file] + 1
    published.asked.clear()
    refused("me/tiny", f"{file} may have .* it is not downloaded")
    assert not any("/resolve/" in line for line in published.asked)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"vocabulary": "../../secret"}, "vocabulary: must be a printable name, never a path"),
        ({"network": "/etc/passwd"}, "network: must be a printable name, never a path"),
        ({"masked_lm_source": "/home/me/roberta"}, "masked_lm_source must be a name on the hub"),
        ({"masked_lm_source": "../roberta"}, "masked_lm_source must be a name on the hub"),
        ({"image_size": 10**9}, "image_size: .* less than or equal to 4096"),
        ({"codebook_size": 1 << 20, "codebook_dim": 16_384}, "codebook_size x codebook_dim"),
        ({"auto_map": {"AutoModel": "model.Evil"}}, "unknown field 'auto_map'"),
        ({"pyramid": [[1, 1], [10**6, 10**6]]}, "pyramid.* less than or equal to 256"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_a_hostile_configuration_is_refused(published, change, rule):
    change_config(published, **change)
    refused("me/tiny", rule)


def test_files_that_are_not_weights_are_refused(published):
    published.commit("me/tiny", {"model.safetensors": b"\x80\x04\x95evil pickle"})
    refused("me/tiny", "does not fit its config.json")


def test_a_custom_vocabulary_is_saved_with_the_model(hub, tmp_path, tiny_words, save_model, image_batch, monkeypatch):
    monkeypatch.setenv("SPAE_CACHE", str(tmp_path / "cache"))
    tiny_words.save(saved_vocabulary_path("mine"))
    _, config = save_model(tmp_path / "run", latent_scale=1.0)
    (tmp_path / "run/config.json").write_text(config_text(config.model_copy(update={"vocabulary": "mine"})))
    first = LexicalTokenizer.from_pretrained(tmp_path / "run")
    words = first.encode(list(image_batch))
    first.push_to_hub("me/mine")
    files = set(hub.models["me/mine"][-1][1])
    assert files == {"config.json", "model.safetensors", "README.md", "vocabulary.safetensors", "vocabulary.json"}
    shutil.rmtree(cache_folder())
    refused(tmp_path / "run", "unknown vocabulary 'mine'")
    fetched = spae.from_pretrained("me/mine")
    assert fetched.fingerprint == first.fingerprint and fetched.encode(list(image_batch)) == words
    assert fetched.vocabulary == tiny_words.words
    fetched.save_pretrained(tmp_path / "copy")
    assert LexicalTokenizer.from_pretrained(tmp_path / "copy").fingerprint == first.fingerprint


def test_another_vocabulary_in_the_folder_is_refused(tmp_path, tiny_folder, tiny_words):
    other = type(tiny_words)(tiny_words.words, tiny_words.embeddings + 1, "another", "0")
    other.save(tiny_folder / "vocabulary.safetensors")
    refused(tiny_folder, "was trained with vocabulary .* fetch or save the model again")
    (tiny_folder / "vocabulary.safetensors").write_bytes(b"no")
    refused(tiny_folder, "is not a vocabulary file")


def test_the_folder_itself_may_be_saved_into(tiny_folder):
    before = {file.name: file.read_bytes() for file in tiny_folder.iterdir()}
    LexicalTokenizer.from_pretrained(tiny_folder).save_pretrained(tiny_folder)
    after = {file.name: file.read_bytes() for file in tiny_folder.iterdir()}
    assert before == {name: after[name] for name in before} and set(after) - set(before) == {"README.md"}


def test_a_changed_folder_is_not_saved_under_the_old_hash(tiny_folder, tmp_path):
    tokenizer = LexicalTokenizer.from_pretrained(tiny_folder)
    config = json.loads((tiny_folder / "config.json").read_text())
    (tiny_folder / "config.json").write_text(json.dumps(config | {"name": "else"}))
    with pytest.raises(WeightsError, match="has changed since its model was opened"):
        tokenizer.save_pretrained(tmp_path / "saved")
    assert not list((tmp_path / "saved").iterdir())
    shutil.rmtree(tiny_folder)
    with pytest.raises(WeightsError, match=r"holds no config\.json"):
        tokenizer.save_pretrained(tmp_path / "saved")


def test_a_tokenizer_built_in_memory_says_how_to_save_it(tiny_folder, tmp_path):
    read = LexicalTokenizer.from_pretrained(tiny_folder)
    made = LexicalTokenizer("mine", read._model, read.lexical_vocabulary, read.image_size, "0" * 64)
    with pytest.raises(InputError, match="save_model"):
        made.save_pretrained(tmp_path / "saved")


def test_a_folder_of_this_machine_is_not_published(hub, tiny_folder):
    config = json.loads((tiny_folder / "config.json").read_text())
    (tiny_folder / "config.json").write_text(json.dumps(config | {"masked_lm_source": "/home/me/roberta"}))
    with pytest.raises(WeightsError, match="must be a name on the hub"):
        LexicalTokenizer.from_pretrained(tiny_folder).push_to_hub("me/tiny")
    assert hub.asked == [], "the hub is not asked to make anything"


def test_a_hub_error_is_one_line(hub, tiny_folder):
    hub.down = True
    with pytest.raises(WeightsError, match=r"me/tiny cannot be published .* hf auth login") as caught:
        LexicalTokenizer.from_pretrained(tiny_folder).push_to_hub("me/tiny")
    assert "\n" not in str(caught.value)


def test_paths_are_never_requested_from_the_hub(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (Path("runs/train"), "./runs/train", "runs/train/spae", str(tmp_path / "gone")):
        refused(path, "holds no config.json")
    with pytest.raises(WeightsError, match=r"holds no config\.json"):
        open_tokenizer("runs/train")
    assert hub.asked == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("me/tiny", ("me/tiny", None)), ("me/tiny@v1", ("me/tiny", "v1")), ("a.b/c@refs/pr/1", ("a.b/c", "refs/pr/1")),
        ("tiny", None), ("a/b/c", None), ("../b", None), ("a/..", None), ("a/b@../c", None), ("~/b", None),
        ("/a/b", None), ("a\\b", None), ("", None), ("a/b@", None), ("a/b\n", None),
    ],
)  # fmt: skip
def test_names_on_the_hub(text, expected):
    assert hub_name(text) == expected
