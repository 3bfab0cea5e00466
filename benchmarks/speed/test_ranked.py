"""Speed of ranked questions: SmolLM2 asked by this project against lm-evaluation-harness's Hugging Face backend.

Run with: .venv/bin/python -m pytest benchmarks/speed/test_ranked.py --benchmark-only -s

The same prompts (5-way, 1-shot, with task induction), weights, arithmetic (fp32), threads and process. A question has
five continuations. lm-evaluation-harness reads the prompt anew for each and computes the chances of every word at every
position; this project reads it once and computes them where they are asked for. Its batch size is the best of those
tried. Time is the processor's, which a busy machine changes less; a round of one side is followed by one of the other.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator

import pytest
import torch

from llm_backends.errors import BackendUnavailable
from llm_backends.local.smollm2 import find_gguf, open_smollm2, smollm2_source
from llm_backends.options import NoOptions
from llm_backends.protocol import LikelihoodRequest
from spae.data.opening import open_set
from tasks.fewshot.task import five_way

SETTING = "i1-s1-r0"
QUESTIONS = 12
ROUNDS = 2
BATCH_SIZES = (1, 5, 12)
TIMES_FASTER = 3.0


@pytest.fixture(scope="module")
def questions() -> list[LikelihoodRequest]:
    """The task's own prompts, each image shown as five words, as layers 1 and 2 show it."""
    task = five_way().configured(prompt_style="gpt", scoring="ranked")
    words = [one.name for one in open_set("pictograms").classes if " " not in one.name]
    rng = random.Random(0)
    asked = []
    for sample in task.samples(open_set("pictograms"), (SETTING,), 0, QUESTIONS).of(SETTING):
        texts = {image: " ".join(rng.choices(words, k=5)) for image in sample.images}
        request = task.request(sample, texts)
        assert isinstance(request, LikelihoodRequest) and len(request.continuations) == 5
        asked.append(request)
    return asked


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Both sides alike, and processor time that means the same for both."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def seconds(function: Callable[[], object]) -> float:
    """Of the processor."""
    start = time.process_time()
    function()
    return time.process_time() - start


@pytest.mark.usefixtures("one_thread")
def test_ranked(benchmark: Callable[..., object], questions: list[LikelihoodRequest]) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    install = "pip install '.[speed]' (brings lm-eval)"
    peer_model = pytest.importorskip("lm_eval.models.huggingface", reason=install)
    instance = pytest.importorskip("lm_eval.api.instance", reason=install).Instance
    try:
        find_gguf()
    except BackendUnavailable as error:
        pytest.skip(str(error))
    model = open_smollm2("", dtype="float32", device="cpu", options=NoOptions())
    peer = peer_model.HFLM(pretrained=str(smollm2_source().folder()), device="cpu", dtype="float32", batch_size=1)
    asked = [
        instance("loglikelihood", {}, (question.context, name), number)
        for number, question in enumerate(questions)
        for name in question.continuations
    ]

    def by_peer(batch_size: int, count: int = len(questions)) -> list[float]:
        peer.batch_size_per_gpu = batch_size
        return [value for value, _ in peer.loglikelihood(asked[: 5 * count], disable_tqdm=True)]

    model.loglikelihood(questions[:1])  # weights are loaded before anything is timed
    batch_size = min(BATCH_SIZES, key=lambda size: seconds(lambda: by_peer(size, 4)))
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(seconds(lambda: model.loglikelihood(questions)))
        theirs.append(seconds(lambda: by_peer(batch_size)))
    found, expected = model.loglikelihood(questions), by_peer(batch_size)
    for number, reply in enumerate(found):
        values = expected[5 * number : 5 * number + 5]
        assert reply.values == pytest.approx(values, abs=1e-3), "not the same question"
        assert max(range(5), key=reply.values.__getitem__) == max(range(5), key=values.__getitem__)
    ratio = min(theirs) / min(ours)
    figures = {
        "times_faster_than_lm_eval": round(ratio, 2),
        "questions_a_second": round(QUESTIONS / min(ours), 2),
        "lm_eval_questions_a_second": round(QUESTIONS / min(theirs), 2),
        "lm_eval_batch_size": batch_size,
    }
    benchmark.extra_info.update(figures)  # type: ignore[attr-defined]
    print(figures)
    benchmark.pedantic(model.loglikelihood, args=(questions,), rounds=1)  # type: ignore[attr-defined]
    assert ratio >= TIMES_FASTER
