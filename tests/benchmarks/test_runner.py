"""The runner with a scripted model: order, failed calls, prompts over the context, and what a stopped run keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.config import RunConfig
from benchmarks.examples import make_examples, reconstruct
from benchmarks.plan import TokenizerView, make_plan
from benchmarks.runner import run_plan
from llm_backends.cache.cached_backend import CachedBackend
from llm_backends.errors import BackendUnavailable, CallFailed
from llm_backends.scripted.backend import Script, ScriptedBackend
from results.store import RunStore

from .conftest import ColourTokenizer

pytestmark = pytest.mark.usefixtures("home")


def config(photos: Path, **changes: object) -> RunConfig:
    values = {
        "tasks": ("miniimagenet-2way",), "tokenizers": ("colours",), "llm": "scripted", "data": str(photos),
        "settings": ("i1-s1-r0", "i1-s1-r1"), "layers": ("1-2",), "scorings": ("exact",), "prompt_style": "gpt",
        "limit": 4, "seed": 0,
    }  # fmt: skip
    return RunConfig(**(values | changes))  # type: ignore[arg-type]


def run(photos: Path, backend: ScriptedBackend, folder: str = "out", **changes: object) -> RunStore:
    plan = make_plan(config(photos, **changes))
    store = RunStore.create(Path(folder), plan.config.plain(), resume=True)
    run_plan(plan, CachedBackend(lambda: backend, backend.identity, chunk=1), store)
    return store


def test_prompts_of_an_episode_follow_each_other(photos: Path, tokenizers: dict[str, ColourTokenizer]) -> None:
    backend = ScriptedBackend(Script(default=" ant"))
    store = run(photos, backend)
    assert [record.setting for record in store.records] == ["i1-s1-r0", "i1-s1-r1"] * 4
    assert [record.prompt for record in store.records] == [request.prompt for request in backend.asked]  # type: ignore[union-attr]


def test_each_image_is_encoded_once(photos: Path, tokenizers: dict[str, ColourTokenizer]) -> None:
    run(photos, ScriptedBackend(Script(default=" ant")), limit=30)
    assert tokenizers["colours"].encoded <= 6 * 7


def test_a_failed_call_is_counted_not_scored(photos: Path, tokenizers: dict[str, ColourTokenizer]) -> None:
    backend = ScriptedBackend(Script(default=" ant"), failures={3: CallFailed("the line was cut")})
    store = run(photos, backend)
    statuses = [record.status for record in store.records]
    assert statuses.count("failed") == 1 and statuses.count("scored") == 7
    failed = store.records[2]
    assert not failed.scores and failed.reply is None and "the line was cut" in failed.explanation


def test_a_prompt_over_the_context_is_infeasible(photos: Path, tokenizers: dict[str, ColourTokenizer]) -> None:
    # Words: about 50 in the prompt of one repeat, about 30 without.
    backend = ScriptedBackend(Script(default=" ant", context_length=50))
    by_setting: dict[str, set[str]] = {}
    for record in run(photos, backend).records:
        by_setting.setdefault(record.setting, set()).add(record.status)
    assert by_setting == {"i1-s1-r0": {"scored"}, "i1-s1-r1": {"infeasible"}}


def test_what_was_answered_before_a_stop_is_kept_and_not_asked_again(
    photos: Path, tokenizers: dict[str, ColourTokenizer]
) -> None:
    stopping = ScriptedBackend(Script(default=" ant"), failures={6: BackendUnavailable("the machine went away")})
    with pytest.raises(BackendUnavailable):
        run(photos, stopping)
    assert len(RunStore.open(Path("out")).records) == 5
    backend = ScriptedBackend(Script(default=" ant"))
    store = run(photos, backend)
    assert len(store.records) == 8 and len(backend.asked) == 3
    whole = run(photos, ScriptedBackend(Script(default=" ant")), folder="whole")
    assert [record.line() for record in whole.records] == [record.line() for record in store.records]


def test_ranked_takes_the_likeliest_class(photos: Path, tokenizers: dict[str, ColourTokenizer]) -> None:
    backend = ScriptedBackend(likelihood=lambda context, text: -float(len(text)))
    for record in run(photos, backend, scorings=("ranked",)).records:
        shortest = min(record.choices, key=len)
        assert record.prediction == record.reply == shortest
        assert record.scores == {"accuracy": float(shortest == record.target)}


def test_examples_show_the_first_episodes_and_every_layer(photos: Path, tokenizers: dict[str, ColourTokenizer]) -> None:
    plan = make_plan(config(photos, layers=("1",)))
    store = RunStore.create(Path("out"), plan.config.plain(), resume=False)
    backend = ScriptedBackend(Script(default=" ant"))
    run_plan(plan, CachedBackend(lambda: backend, backend.identity), store)
    book = make_examples(plan, store.records)
    assert [episode.sample_id for episode in book.samples] == [
        s.id for s in plan.task_runs[0].samples.of("i1-s1-r0")[:2]
    ]
    for episode in book.samples:
        assert [image.role for image in episode.images] == ["support", "support", "query"]
        assert all(len(image.pyramid) == 2 for image in episode.images)
        assert episode.images[-1].label == episode.target
        assert {p.label for p in episode.images} <= set(store.records[0].choices) | {episode.target} | {
            p.label for p in episode.images
        }
    (data,) = book.data
    assert data.embedded is False


def test_reconstruction_error_is_the_mean_square_on_minus_one_to_one(
    photos: Path, tokenizers: dict[str, ColourTokenizer]
) -> None:
    import numpy as np

    plan = make_plan(config(photos))
    tokenizer, data = tokenizers["colours"], plan.task_runs[0].data
    found = reconstruct(plan, data, TokenizerView(tokenizer, (1, 2), ""), measured=5)
    names = [name for group in data.classes for name in group.query]
    chosen = names[:: len(names) // 5][:5]
    for layer, value in enumerate(found.mse, start=1):
        errors = [
            np.mean((60 * layer / 127.5 - 1 - (tokenizer.prepare(data.image(name)) / 127.5 - 1)) ** 2)
            for name in chosen
        ]
        assert value == pytest.approx(np.mean(errors), rel=1e-9)
    assert found.count == 5
