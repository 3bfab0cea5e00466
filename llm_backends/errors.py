"""Every error `llm_backends` raises on purpose.

BackendError
├── BackendInputError    a name, option or request is wrong
├── BackendUnavailable   a package, file or device that a backend needs is missing
├── PromptTooLong        a prompt does not fit the model's context
├── CacheMiss            --cache-only and a request without a stored reply
├── CacheCorrupt         a stored reply does not match its checksum
├── BudgetSpent          the run's budget of tokens or dollars is used up
└── CallFailed           the model was asked and gave no usable reply

A message states the rule, the value seen and the fix, on one line.
"""


class BackendError(Exception):
    """Base of every deliberate error of this package."""


class BackendInputError(BackendError):
    """A name, option or request is wrong."""


class BackendUnavailable(BackendError):
    """A package, file or device that a backend needs is missing."""


class PromptTooLong(BackendError):
    """A prompt does not fit the model's context."""


class CacheMiss(BackendError):
    """`--cache-only` and a request without a stored reply."""


class CacheCorrupt(BackendError):
    """A stored reply does not match its checksum."""


class CallFailed(BackendError):
    """The model was asked and gave no usable reply.

    Attributes:
        lasting: asking the same again would not change it, so nothing is retried; where every request fails with one
            such fault, the run's set-up is wrong.
    """

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class BudgetSpent(BackendError):
    """The run's budget of tokens or dollars is used up."""
