"""Questions about images: what one sample holds, its prompt to the character, and the score of its reply.

Shared by every task that asks questions. The prompt is that of the appendix of arXiv 2306.17842, one for both styles;
the model answers greedily, at most 4 tokens, until the first newline.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from pydantic import Field, model_validator

from llm_backends.protocol import Completion, CompletionRequest, LikelihoodRequest, Likelihoods, Reply
from spae.canonical import Frozen
from tasks.errors import TaskInputError
from tasks.fewshot.prompts import image_line
from tasks.manifest_file import sample_digest
from tasks.protocol import WIRE, Outcome, Sample
from tasks.scoring import rule, score_ranked, score_text

INSTRUCTION = "Answer with a single word."
MAX_NEW_TOKENS = 4


class ShownAnswer(Frozen):
    """One example in a prompt: an image, a question about it, and its answer; each one line, not empty."""

    model_config = WIRE

    image: str = Field(alias="picture")
    question: str
    answer: str

    @model_validator(mode="after")
    def _is_lines(self) -> ShownAnswer:
        _check_lines(self.question, self.answer)
        return self


class VqaSample(Sample):
    """Examples, then a question about another image.

    `images` is the examples' in order, then the query's; `fingerprint` also covers the data's.
    """

    index: int = Field(ge=0, description="k: samples of one k are paired across settings")
    kind: str = Field(default="", description="what is asked for: 'colour'; '' where nobody says")
    support: tuple[ShownAnswer, ...] = Field(description="the examples, in the order of the prompt")
    query: str = Field(description="id of the picture that is asked about")
    question: str = Field(description="what is asked about it; one line")
    accepted: tuple[str, ...] = Field(min_length=1, description="every right answer; `answer` is the first")
    classes: tuple[str, ...] = Field(
        default=(), description="the answers to choose from, one of them right; () where the question is open"
    )

    @property
    def labels(self) -> dict[str, str]:
        """What a reader is told of each image, by id: its questions and answers."""
        said: dict[str, list[str]] = defaultdict(list)
        for image, question, answer in (
            *((one.image, one.question, one.answer) for one in self.support),
            (self.query, self.question, self.answer),
        ):
            said[image].append(f"{question} {answer}")
        return {image: "; ".join(texts) for image, texts in said.items()}

    @model_validator(mode="after")
    def _is_a_question(self) -> VqaSample:
        _check_lines(self.question, *self.accepted, *self.classes)
        shown = tuple(one.image for one in self.support)
        if self.answer != self.accepted[0]:
            raise ValueError(f"answer must be the first accepted, got {self.answer!r} and {self.accepted}")
        if self.query in shown or self.images != (*dict.fromkeys(shown), self.query):
            raise ValueError("images must be the examples' then the query's, which may not be among them")
        if self.classes and (len(set(self.classes)) != len(self.classes) or self.answer not in self.classes):
            raise ValueError(f"classes must differ and hold the answer, got {self.classes} and {self.answer!r}")
        return self


def _check_lines(*texts: str) -> None:
    for text in texts:
        if not text.strip() or text.splitlines() != [text]:
            raise ValueError(f"a question or answer must be one line, not empty, got {text!r}")


def make_sample(
    data_fingerprint: str,
    *,
    id: str,
    setting: str,
    index: int,
    kind: str,
    support: Sequence[ShownAnswer],
    query: str,
    question: str,
    accepted: Sequence[str],
    classes: Sequence[str],
) -> VqaSample:
    """A sample with its images listed and its fingerprint worked out; fields as in `VqaSample`."""
    content = {
        "id": id,
        "setting": setting,
        "pictures": [*dict.fromkeys(one.image for one in support), query],
        "answer": accepted[0],
        "index": index,
        "kind": kind,
        "support": [one.model_dump(mode="json") for one in support],
        "query": query,
        "question": question,
        "accepted": list(accepted),
        "classes": list(classes),
    }
    return VqaSample.model_validate({**content, "fingerprint": sample_digest(content, data_fingerprint)})


def vqa_prompt(sample: VqaSample, texts: Mapping[str, str]) -> str:
    """The prompt; it ends in `A:`, and the model goes on right there.

    Args:
        sample: what is shown and asked.
        texts: the SPAE string of each of its images, by image id; one line each, not empty.

    Raises:
        TaskInputError: an image has no text; a text is empty or has a line break.
    """
    lines = [INSTRUCTION]
    for one in sample.support:
        lines += [f"C: {image_line(texts, one.image)}", f"Q: {one.question}", f"A: {one.answer}"]
    lines += [f"C: {image_line(texts, sample.query)}", f"Q: {sample.question}", "A:"]
    return "\n".join(lines)


def vqa_request(sample: VqaSample, texts: Mapping[str, str], scoring: str) -> CompletionRequest | LikelihoodRequest:
    """What to ask: greedy text, or with `ranked` the likelihood of each of the answers and the newline after it.

    Raises:
        TaskInputError: as `vqa_prompt`; the rule is unknown; the rule is `ranked` and the question is open.
    """
    asks = rule(scoring).asks
    prompt = vqa_prompt(sample, texts)
    if asks == "completion":
        return CompletionRequest(prompt=prompt, max_new_tokens=MAX_NEW_TOKENS, stop=("\n",))
    if not sample.classes:
        raise TaskInputError(
            f"scoring {scoring!r} needs answers to choose from, the question {sample.question!r} of {sample.id} is "
            "open: pass --scoring exact"
        )
    return LikelihoodRequest(context=prompt, continuations=tuple(f" {name}\n" for name in sample.classes))


def vqa_score(sample: VqaSample, request: CompletionRequest | LikelihoodRequest, reply: Reply, scoring: str) -> Outcome:
    """Right where the reply fits any accepted answer by the rule: see `tasks.scoring`.

    Raises:
        TaskInputError: the rule is unknown, or request, reply and rule do not belong together.
    """
    test = rule(scoring).test
    if test is None and isinstance(request, LikelihoodRequest) and isinstance(reply, Likelihoods):
        return score_ranked(reply.values, sample.answer, sample.classes)
    if test is not None and isinstance(request, CompletionRequest) and isinstance(reply, Completion):
        outcomes = [score_text(test, reply.text, answer, sample.classes) for answer in sample.accepted]
        return next((one for one in outcomes if one.value), outcomes[0])
    raise TaskInputError(
        f"scoring {scoring!r} needs {'Likelihoods' if test is None else 'a Completion'}, "
        f"got {type(reply).__name__} to {type(request).__name__}: ask with the same --scoring"
    )


def kind_of(sample: VqaSample) -> str:
    """What the sample asks for, as its data say, else the first two words of the question: 'how many'."""
    return sample.kind or " ".join(sample.question.casefold().split()[:2])


def blind_share(samples: Sequence[VqaSample]) -> float:
    """How often one is right who sees neither images nor examples, and says the commonest answer to each kind.

    The commonest answers are those of these very samples, so nobody who sees only the kind of a question does better:
    a bound, as a fraction of 1.
    """
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        answers[kind_of(sample)][sample.answer.casefold()] += 1
    return sum(max(counts.values()) for counts in answers.values()) / max(1, len(samples))
