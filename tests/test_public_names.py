"""Names that users type, plug-ins implement and files carry: a change here is a change for somebody else.

Adding a name means adding it here too; taking one away or renaming it belongs in CHANGELOG.md under "Changed".
"""

from __future__ import annotations

import importlib
import inspect
from dataclasses import fields

import pytest
from pydantic import BaseModel

import llm_backends.registry
import spae.data.registry
import spae.metrics.registry
import spae.tokenizers.registry
import spae.training.data_source
import spae.training.recipes
import spae.vocabulary
import tasks.registry
import tasks.settings
from benchmarks.cli import app
from benchmarks.commands.cache import cache
from results.record import CellKey, Record
from spae.cli import app as trainer


def test_names_on_the_command_line() -> None:
    assert sorted(tasks.registry.BUILT_IN) == [
        "coco-captioning",
        "coco-qa",
        "miniimagenet-2way",
        "miniimagenet-5way",
        "real-fast-vqa",
    ]
    assert sorted(spae.tokenizers.registry.BUILT_IN) == [
        "lqae-without-lm",
        "spae",
        "spae-mnist",
        "spae-plain",
        "vqgan",
    ]
    spellings = [
        "smollm2",
        "gemma3-270m",
        "hf:PATH_OR_NAME",
        "gguf:FILE",
        "llamacpp:FILE",
        "openai:MODEL",
        "scripted:FILE",
        "none",
    ]
    assert [one.spelling for one in llm_backends.registry.BUILT_IN] == spellings
    assert sorted(spae.data.registry.SETS) == ["mnist", "pictograms", "pictograms-new", "scenes", "scenes-new"]
    schemes = ["folder", "hf", "mnist", "pictograms", "pictograms-more", "video", "webdataset"]
    assert sorted(spae.training.data_source.SCHEMES) == schemes
    assert {"picto_spae", "picto_vqgan"} <= set(spae.training.recipes.RECIPES)
    paper = ["image", "image_8", "image_256", "imagenet21k", "disjoint", "gpt", "mnist", "video", "vqgan"]
    rows = ["vq", "frozen_codebook", "semantic", "rq", "saq", "pyramid", "one_threshold", "constant_weight"]
    paper += [f"ablation_{row}" for row in [*rows, "no_perceptual"]]
    assert {*paper, "lqae", "picto_lqae_without_lm"} <= set(spae.training.recipes.RECIPES)
    assert list(spae.vocabulary.VOCABULARIES) == ["smollm2", "smollm2-minilm"]


def test_setting_ids_are_the_papers() -> None:
    paper = [(0, 1, 0), (1, 1, 0), (1, 3, 0), (1, 5, 0), (1, 1, 1), (1, 1, 3), (1, 1, 5)]
    assert list(tasks.settings.SETTING_IDS) == [f"i{i}-s{s}-r{r}" for i, s, r in paper]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param("ls", {"kind", "json", "verbose"}, id="ls"),
        pytest.param(
            "run",
            {
                "task",
                "tokenizer",
                "llm",
                "llm_args",
                "data",
                "setting",
                "layers",
                "scoring",
                "prompt_style",
                "limit",
                "seed",
            }
            | {"out", "cache_only", "refresh_cache", "resume", "dtype", "device", "context_length", "cache_file"}
            | {"manifest", "shuffle_images"},
            id="run",
        ),
        pytest.param("report", {"folder", "format"}, id="report"),
        pytest.param("baseline", {"run", "out", "cache_file"}, id="baseline"),
        pytest.param("check", {"folder", "junit"}, id="check"),
        pytest.param("validate", {"task", "data", "json"}, id="validate"),
        pytest.param("round_trip", {"llm", "vocabulary", "json"}, id="round-trip"),
    ],
)
def test_options(command: str, expected: set[str]) -> None:
    found = {one.callback.__name__: one.callback for one in app.registered_commands if one.callback is not None}
    assert set(inspect.signature(found[command]).parameters) == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param("tokenize", {"images", "tokenizer", "layers", "show", "out", "json"}, id="tokenize"),
        pytest.param("decode", {"tokens", "out", "tokenizer", "layers"}, id="decode"),
        pytest.param("train", {"recipe", "out", "set_", "smoke", "resume", "wandb"}, id="train"),
        pytest.param("recipes", {"name", "json"}, id="recipes"),
        pytest.param(
            "vocabulary",
            {
                "name",
                "causal_lm",
                "masked_lm",
                "encoding",
                "embeddings",
                "base_url",
                "sentencepiece",
                "matrix",
                "tensor",
                "most_frequent",
            },
            id="vocabulary",
        ),
    ],
)
def test_options_of_recipes_and_vocabularies(command: str, expected: set[str]) -> None:
    found = {one.callback.__name__: one.callback for one in trainer.registered_commands if one.callback is not None}
    assert set(inspect.signature(found[command]).parameters) == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param("cache_stats", {"json"}, id="stats"),
        pytest.param("cache_export", {"paths", "all", "skip_bad", "cache_file"}, id="export"),
        pytest.param("cache_export_tokens", {"tokenizer", "file", "data"}, id="export tokens"),
        pytest.param("cache_import", {"files", "into", "keep", "replace"}, id="import"),
        pytest.param("cache_verify", {"files"}, id="verify"),
        pytest.param("cache_prune", {"model", "older_than", "bad", "dry_run"}, id="prune"),
        pytest.param("cache_explain", {"folder", "record", "cache_file"}, id="explain"),
    ],
)
def test_options_of_the_cache_commands(command: str, expected: set[str]) -> None:
    found = {one.callback.__name__: one.callback for one in cache.registered_commands if one.callback is not None}
    assert set(inspect.signature(found[command]).parameters) == expected and len(found) == 7


def test_a_tokenizer_from_anywhere_and_to_anywhere() -> None:
    from spae.tokenizers.lexical import LexicalTokenizer

    assert set(inspect.signature(spae.from_pretrained).parameters) == {"source", "revision"}
    assert spae.tokenizers.registry.HUB == "hf:"
    options = {"source", "name", "revision", "force_download", "token", "cache_dir", "local_files_only"}
    assert set(inspect.signature(LexicalTokenizer.from_pretrained).parameters) == options
    assert {"save_pretrained", "push_to_hub", "vocabulary", "lexical_vocabulary", "image_size", "family"} <= {
        *dir(LexicalTokenizer),
        *LexicalTokenizer.__init__.__code__.co_names,
    }


def test_entry_point_groups() -> None:
    groups = (tasks.registry.GROUP, spae.tokenizers.registry.GROUP, llm_backends.registry.GROUP)
    assert groups == ("spae.tasks", "spae.tokenizers", "spae.llm_backends")
    assert llm_backends.registry.OPTIONS_GROUP == "spae.llm_backend_options"
    assert spae.metrics.registry.GROUP == "spae.metrics"


PROTOCOLS = [
    pytest.param(
        "spae.tokenizers.protocol:Tokenizer",
        {"name", "fingerprint", "family", "depth", "image_size", "vocabulary", "encode", "decode", "prepare"},
        id="tokenizer",
    ),
    pytest.param(
        "spae.data.protocol:ImageSet",
        {"name", "title", "embedded", "fingerprint", "classes", "image"},
        id="images",
    ),
    pytest.param(
        "llm_backends.protocol:Backend",
        {"identity", "capabilities", "count_tokens", "complete", "loglikelihood"},
        id="backend",
    ),
    pytest.param(
        "tasks.protocol:Task",
        {"name", "title", "metrics", "settings", "samples", "configured", "solve"},
        id="task",
    ),
    pytest.param("tasks.protocol:CorpusScored", {"corpus_scores"}, id="corpus"),
    pytest.param(
        "spae.data.annotations.annotated:AnnotatedSet",
        {"name", "title", "embedded", "fingerprint", "classes", "support", "query", "annotations", "image"}
        | {"image_digest"},
        id="annotated",
    ),
    pytest.param(
        "tasks.protocol:Samples",
        {"task", "data", "data_fingerprint", "seed", "settings", "fingerprint", "of", "save"},
        id="samples",
    ),
]


@pytest.mark.parametrize(("where", "expected"), PROTOCOLS)
def test_protocols_ask_for(where: str, expected: set[str]) -> None:
    module, _, name = where.partition(":")
    protocol = getattr(importlib.import_module(module), name)
    members = {one for one in [*vars(protocol), *protocol.__annotations__] if not one.startswith("_")}
    assert members == expected


def test_facts_of_a_task_entry() -> None:
    facts = ["name", "target", "title", "paper_table", "settings", "metric", "default_data", "scorings", "styles"]
    assert [one.name for one in fields(tasks.registry.TaskEntry)] == [*facts, "needs", "problem", "opens", "surveys"]


CELL = ["task", "setting", "tokenizer", "tokenizer_fingerprint", "layers", "shuffled", "model", "model_revision"]
CELL += ["dtype", "data", "data_fingerprint", "prompt_style", "scoring", "seed"]
RECORD = ["id", "sample_id", "sample_fingerprint", "prompt", "choices", "target", "references", "reply", "prediction"]
LAST = ["status", "scores", "explanation", "steps", "tokens", "images"]


@pytest.mark.parametrize(
    ("model", "expected"),
    [pytest.param(CellKey, CELL, id="cell"), pytest.param(Record, [*CELL, *RECORD, *LAST], id="record")],
)
def test_fields_of_a_line_in_records_jsonl(model: type[BaseModel], expected: list[str]) -> None:
    assert list(model.model_fields) == expected
