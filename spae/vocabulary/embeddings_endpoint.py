"""A vocabulary from a tiktoken encoding and an embeddings server: the paper's SPAE_GPT.

GPT's input embeddings are not public, so an embeddings model embeds each word (ada-002 in the paper, C = 1536).
V words, C width.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from spae.cache_folder import cache_folder
from spae.errors import InputError, WeightsError
from spae.network_environment import EnvironmentProblem, check_environment, check_host, client_settings
from spae.row_file import rows_on_disk
from spae.vocabulary.filters import WordFilter
from spae.vocabulary.lexical import LexicalVocabulary
from spae.vocabulary.pieces import behind_a_space
from spae.vocabulary.round_trip import round_trip_rate

if TYPE_CHECKING:
    from tiktoken import Encoding


OPENAI_URL = "https://api.openai.com/v1"
ENCODINGS_URL = "https://openaipublic.blob.core.windows.net"
"""Where tiktoken fetches its encodings."""


@dataclass(frozen=True)
class EmbeddingsEndpoint:
    """A server with OpenAI's embeddings API.

    Attributes:
        model: on the server ("text-embedding-ada-002").
        base_url: without /embeddings; OpenAI's by default.
        key_variable: environment variable with the key. None is OPENAI_API_KEY for OpenAI's server and no key for any
            other, so that a key is not sent to the wrong server.
        batch: words per request.
        retries: of a request after a temporary failure (busy, no answer), with growing pauses.
        timeout: in seconds.
    """

    model: str
    base_url: str = OPENAI_URL
    key_variable: str | None = None
    batch: int = 256
    retries: int = 6
    timeout: float = 60.0


def endpoint_vocabulary(
    encoding: Encoding | str, endpoint: EmbeddingsEndpoint, keep: WordFilter | None = None
) -> LexicalVocabulary:
    """T from a tiktoken encoding, with embeddings from a server.

    Embeddings are cached request by request: a stopped run resumes where it was, and the same words, model and server
    are not requested again.

    Args:
        encoding: of tiktoken, or its name ("cl100k_base", which tiktoken downloads and caches).
        keep: which words are kept; WordFilter() by default. Each is paid for.

    Raises:
        InputError: an unknown encoding, no word is left, or an address or proxy that cannot be used.
        WeightsError: the encoding cannot be downloaded, or the server refuses or answers without the vectors.
    """
    keep = keep or WordFilter()
    encoding = _named(encoding) if isinstance(encoding, str) else encoding
    words = behind_a_space(_texts(encoding))
    tokens = keep.keep(words)
    kept = [words[token] for token in tokens]
    embeddings = fetch_embeddings(kept, endpoint).clone()
    return LexicalVocabulary(
        tuple(kept),
        embeddings,
        f"{endpoint.model} embeddings of the words of {encoding.name}",
        hashlib.sha256(embeddings.numpy().tobytes()).hexdigest(),
        tokens=tuple(tokens),
        filters=keep.describe(),
        round_trip_rate=round_trip_rate(kept, tokens, encoding.encode_ordinary),
    )


def fetch_embeddings(words: list[str], endpoint: EmbeddingsEndpoint) -> Tensor:
    """[V, C] float32, memory-mapped, from the cache folder or else the server.

    Raises:
        WeightsError: the server refuses, or does not answer with one vector a word.
    """
    import openai

    variable = endpoint.key_variable or ("OPENAI_API_KEY" if endpoint.base_url == OPENAI_URL else None)
    key = os.environ.get(variable, "").strip() if variable else "none"
    if not key:
        raise WeightsError(
            f"the embeddings server needs a key, {variable} is not set: set it, or name another variable"
        )
    try:
        check_host(endpoint.base_url)
        proxy, verify = client_settings(endpoint.base_url)
    except EnvironmentProblem as error:
        raise InputError(str(error)) from None
    except ValueError as error:
        raise InputError(f"--base-url {error}") from None
    http_client = openai.DefaultHttpxClient(
        proxy=proxy.url if proxy is not None else None, verify=verify, trust_env=False, timeout=endpoint.timeout
    )
    client = openai.OpenAI(
        base_url=endpoint.base_url, api_key=key, max_retries=endpoint.retries, timeout=endpoint.timeout,
        http_client=http_client,
    )  # fmt: skip
    way = f" through the proxy {proxy.shown}" if proxy is not None else ""

    def make(start: int, stop: int) -> np.ndarray:
        try:
            answer = client.embeddings.create(
                model=endpoint.model, input=words[start:stop], encoding_format="float"
            ).model_dump()
        except openai.OpenAIError as error:
            status = getattr(error, "status_code", None)
            # Without the server's message, which may quote the key.
            said = (f"status {status}" if status else type(error).__name__) + way
            raise WeightsError(
                f"the embeddings server failed on words {start} to {stop - 1} of {len(words)} ({said}): check its "
                f"address, the model {endpoint.model!r} and its key ({variable}), and run again to resume"
            ) from None
        return _vectors(answer, stop - start)

    place = hashlib.sha256(json.dumps([endpoint.base_url, endpoint.model, words]).encode()).hexdigest()[:24]
    with client:
        return rows_on_disk(cache_folder() / f"embeddings-{place}.npy", len(words), make, endpoint.batch)


def _vectors(answer: dict[str, Any], expected: int) -> np.ndarray:
    """The vectors of an answer in the order of the words, which servers need not keep."""
    try:
        found = {item["index"]: item["embedding"] for item in answer["data"]}
        if len(answer["data"]) != expected or set(found) != set(range(expected)):
            raise ValueError(f"{len(answer['data'])} vectors for {expected} words")
        return np.array([found[i] for i in range(expected)], np.float32)
    except (KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:80]
        raise WeightsError(f"the embeddings server must give one vector a word, it gave others ({reason})") from error


def _texts(encoding: Encoding) -> dict[int, str]:
    """The tokens that are whole characters, by id; special ones, and gaps between ids, are left out."""
    texts = {}
    for token in range(encoding.n_vocab):
        if encoding.is_special_token(token):
            continue
        # A gap, or a part of a character.
        with contextlib.suppress(KeyError, UnicodeDecodeError):
            texts[token] = encoding.decode_single_token_bytes(token).decode("utf-8")
    return texts


def _named(name: str) -> Encoding:
    try:
        import tiktoken
    except ModuleNotFoundError:
        raise WeightsError("tiktoken is not installed: run pip install 'spae-bench[vocabularies]'") from None
    if name not in tiktoken.list_encoding_names():
        raise InputError(
            f"tiktoken has no encoding {name!r}: known: {', '.join(sorted(tiktoken.list_encoding_names()))}"
        )
    try:
        check_environment(ENCODINGS_URL)
        return tiktoken.get_encoding(name)
    except EnvironmentProblem as error:
        raise InputError(f"tiktoken cannot fetch {name}: {error}") from None
    except Exception as error:  # whatever its client raises without a network
        raise WeightsError(
            f"tiktoken cannot fetch {name} ({type(error).__name__}): connect, or set TIKTOKEN_CACHE_DIR to a folder "
            "that has it"
        ) from error
