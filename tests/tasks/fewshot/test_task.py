"""The few-shot task from data to score."""

import pytest

from llm_backends.protocol import CompletionRequest, Failure, LikelihoodRequest, Likelihoods
from tasks.errors import TaskInputError
from tasks.fewshot.prompts import classification
from tasks.fewshot.task import FewShotTask, five_way, two_way
from tasks.protocol import Outcome, Sample, Task
from tasks.settings import SETTING_IDS
from tests.tasks.conftest import solved, text_reply

TEXTS = {"l1": "mane", "v1": "clay", "q": "paw"}


def bound(scoring="exact", style="gpt"):
    return two_way().configured(prompt_style=style, scoring=scoring)


@pytest.fixture
def episode(make_episode):
    return make_episode(("lion", "vase"), "i1-s1-r0", 1, answer="vase")


def test_is_a_task():
    for task, ways in ((two_way(), 2), (five_way(), 5)):
        assert isinstance(task, Task)
        assert (task.name, task.ways) == (f"miniimagenet-{ways}way", ways)
        assert ([metric.name for metric in task.metrics], task.settings) == (["accuracy"], SETTING_IDS)


@pytest.mark.parametrize(("style", "tokens"), [("gpt", 7), ("palm", 4)])
@pytest.mark.parametrize("scoring", ["exact", "prefix", "contains"])
def test_text_is_asked_greedily_without_a_stop(episode, style, tokens, scoring):
    request, _ = solved(bound(scoring, style), episode, TEXTS, text_reply("vase"))
    prompt = classification(episode, TEXTS, style)
    assert request == CompletionRequest(prompt=prompt, max_new_tokens=tokens, stop=(), temperature=0.0)


@pytest.mark.parametrize("style", ["gpt", "palm"])
def test_ranked_asks_for_each_class_and_its_newline(episode, style):
    request, _ = solved(bound("ranked", style), episode, TEXTS, Likelihoods(values=(-1.0, -2.0)))
    prompt = classification(episode, TEXTS, style)
    assert request == LikelihoodRequest(context=prompt, continuations=(" lion\n", " vase\n"))


def test_scores_text_and_likelihoods(episode):
    for reply, scores, status in (
        (" Vase\n###", {"accuracy": 1.0}, "scored"),
        (" lion\n###", {"accuracy": 0.0}, "scored"),
        ("\n", {}, "empty"),
    ):
        _, outcome = solved(bound(), episode, TEXTS, text_reply(reply))
        assert (outcome.scores, outcome.status) == (scores, status)
    assert solved(bound("ranked"), episode, TEXTS, Likelihoods(values=(-2.0, -1.0)))[1].prediction == "vase"
    assert solved(bound("ranked"), episode, TEXTS, Likelihoods(values=(-2.0,)))[1].status == "failed"


@pytest.mark.parametrize(("reason", "status"), [("too_long", "infeasible"), ("failed", "failed")])
def test_a_request_without_a_reply_has_no_scores(episode, reason, status):
    _, outcome = solved(bound(), episode, TEXTS, Failure(reason=reason, message="what went wrong"))
    assert outcome == Outcome(status=status, explanation="what went wrong")


@pytest.mark.parametrize(
    ("scoring", "reply"), [("ranked", text_reply("vase")), ("exact", Likelihoods(values=(-1.0, -2.0)))]
)
def test_reply_must_go_with_the_rule(episode, scoring, reply):
    with pytest.raises(TaskInputError, match=f"scoring '{scoring}' reads"):
        bound(scoring).score(episode, reply)


def test_unknown_rule_and_style():
    with pytest.raises(TaskInputError, match=r"has the scorings exact, .*got 'exakt'"):
        bound("exakt")
    with pytest.raises(TaskInputError, match="prompt style must be one of gpt, palm, got 'gptt'"):
        bound(style="gptt")


def test_foreign_samples_are_refused(episode):
    with pytest.raises(TaskInputError, match="episodes of 5 classes"):
        five_way().request(episode, TEXTS)
    other = Sample(id="x", setting="i1-s1-r0", images=("q",), target="vase", fingerprint="-")
    with pytest.raises(TaskInputError, match="got Sample x"):
        two_way().request(other, TEXTS)


def test_one_way_is_refused():
    with pytest.raises(TaskInputError, match="at least 2"):
        FewShotTask("miniimagenet-2way", ways=1)


def test_from_data_to_score(make_set):
    """A model that always names the right class gets everything, one that names the first class its share."""
    task = five_way()
    manifest = task.samples(make_set(), SETTING_IDS, seed=3, limit=10)
    assert manifest.task == "miniimagenet-5way"
    for setting in SETTING_IDS:
        first = 0.0
        for sample in manifest.of(setting):
            texts = {image: f"words of {image}" for image in sample.images}
            assert solved(task, sample, texts, text_reply(f" {sample.target}\n"))[1].scores == {"accuracy": 1.0}
            first += solved(task, sample, texts, text_reply(sample.classes[0]))[1].scores["accuracy"]
        assert first == 2.0  # 10 episodes, the answer in each of five places twice
