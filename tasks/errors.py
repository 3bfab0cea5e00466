"""Every error `tasks` raises on purpose.

TaskError
├── TaskInputError    a task, setting, prompt style or scoring rule is unknown, or does not go with the others
├── EpisodeError      the data cannot give the episodes that were asked for
└── ManifestError     a manifest file is broken or does not fit the data

A message states the rule, the value seen and the fix, on one line.
"""


class TaskError(Exception):
    """Base of every deliberate error of this package."""


class TaskInputError(TaskError):
    """A task, setting, prompt style or scoring rule is unknown, or does not go with the others."""


class EpisodeError(TaskError):
    """The data cannot give the episodes that were asked for."""


class ManifestError(TaskError):
    """A manifest file is broken or does not fit the data."""
