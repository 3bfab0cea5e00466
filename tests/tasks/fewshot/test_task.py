"""The few-shot task from data to score."""

import pytest

from llm_backends.protocol import Choice, Completion, CompletionRequest, LikelihoodRequest, Likelihoods
from tasks.errors import TaskInputError
from tasks.fewshot.settings import SETTING_IDS
from tasks.fewshot.task import FewShotTask, five_way, prompts, two_way
from tasks.protocol import Sample, Task

TEXTS = {"l1": "mane", "v1": "clay", "q": "paw"}


@pytest.fixture
def episode(make_episode):
    return make_episode(("lion", "vase"), "i1-s1-r0", 1, answer="vase")


def test_is_a_task():
    for task, ways in ((two_way(), 2), (five_way(), 5)):
        assert isinstance(task, Task)
        assert (task.name, task.ways) == (f"miniimagenet-{ways}way", ways)
        assert (task.metric, task.settings) == ("accuracy", SETTING_IDS)


@pytest.mark.parametrize(("style", "tokens"), [("gpt", 7), ("palm", 4)])
@pytest.mark.parametrize("scoring", ["exact", "prefix", "contains"])
def test_text_is_asked_greedily_without_a_stop(episode, style, tokens, scoring):
    request = two_way().request(episode, TEXTS, style, scoring)
    prompt = prompts.classification(episode, TEXTS, style)
    assert request == CompletionRequest(prompt=prompt, max_new_tokens=tokens, stop=(), temperature=0.0)


@pytest.mark.parametrize("style", ["gpt", "palm"])
def test_ranked_asks_for_each_class_and_its_newline(episode, style):
    request = two_way().request(episode, TEXTS, style, "ranked")
    prompt = prompts.classification(episode, TEXTS, style)
    assert request == LikelihoodRequest(context=prompt, continuations=(" lion\n", " vase\n"))


def test_scores_text_and_likelihoods(episode):
    task = two_way()
    asked = task.request(episode, TEXTS, "gpt", "exact")
    assert (
        task.score(episode, asked, Completion(choices=(Choice(text=" Vase\n###", finish="length"),)), "exact").value
        == 1.0
    )
    assert (
        task.score(episode, asked, Completion(choices=(Choice(text=" lion\n###", finish="length"),)), "exact").value
        == 0.0
    )
    assert (
        task.score(episode, asked, Completion(choices=(Choice(text="\n", finish="stop"),)), "exact").status == "empty"
    )
    asked = task.request(episode, TEXTS, "gpt", "ranked")
    assert task.score(episode, asked, Likelihoods(values=(-2.0, -1.0)), "ranked").prediction == "vase"
    assert task.score(episode, asked, Likelihoods(values=(-2.0,)), "ranked").status == "failed"


def test_reply_must_go_with_the_rule(episode):
    task = two_way()
    text = task.request(episode, TEXTS, "gpt", "exact"), Completion(choices=(Choice(text="vase", finish="stop"),))
    odds = task.request(episode, TEXTS, "gpt", "ranked"), Likelihoods(values=(-1.0, -2.0))
    for scoring, (request, reply) in (("ranked", text), ("exact", odds), ("exact", (odds[0], text[1]))):
        with pytest.raises(TaskInputError, match=f"scoring '{scoring}' needs"):
            task.score(episode, request, reply, scoring)


def test_unknown_rule(episode):
    with pytest.raises(TaskInputError, match="did you mean 'exact'"):
        two_way().request(episode, TEXTS, "gpt", "exakt")


def test_foreign_samples_are_refused(episode):
    with pytest.raises(TaskInputError, match="episodes of 5 classes"):
        five_way().request(episode, TEXTS, "gpt", "exact")
    other = Sample(id="x", setting="i1-s1-r0", images=("q",), answer="vase", fingerprint="-")
    with pytest.raises(TaskInputError, match="got Sample x"):
        two_way().request(other, TEXTS, "gpt", "exact")


def test_one_way_is_refused():
    with pytest.raises(TaskInputError, match="at least 2"):
        FewShotTask("one", "one", 1)


def test_from_data_to_score(make_set):
    """A model that always names the right class gets everything, one that names the first class its share."""
    task = five_way()
    manifest = task.samples(make_set(), SETTING_IDS, seed=3, limit=10)
    assert manifest.task == "miniimagenet-5way"
    for setting in SETTING_IDS:
        first = 0.0
        for sample in manifest.of(setting):
            texts = {image: f"words of {image}" for image in sample.images}
            request = task.request(sample, texts, "gpt", "exact")
            right = task.score(
                sample, request, Completion(choices=(Choice(text=f" {sample.answer}\n", finish="length"),)), "exact"
            )
            assert right.value == 1.0
            guess = task.score(
                sample, request, Completion(choices=(Choice(text=sample.classes[0], finish="stop"),)), "exact"
            )
            first += guess.value
        assert first == 2.0  # 10 episodes, the answer in each of five places twice
