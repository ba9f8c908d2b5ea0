"""The errors a user can meet. Everything else that is raised is a defect of this package.

Each message is one line that says what was expected, what was found, where, and what to do.
The command line prints it and exits with code 2; ``--debug`` adds the traceback.
"""

import reprlib
from json import JSONDecodeError
from typing import Any


class GraitError(Exception):
    """Base of every error that the user, not this package, has to act on."""


class ConfigError(GraitError):
    """A config key is unknown, has the wrong type or an impossible value."""


class DataError(GraitError):
    """A question file is missing, unreadable or has a bad row."""


class ModelError(GraitError):
    """A model cannot be found, loaded or used for what is asked."""


class ArtifactError(GraitError):
    """A run folder holds something that is truncated, foreign or of another version."""


class KnowledgeError(GraitError):
    """The knowledge state leaves nothing to learn: the model knows everything, or nothing."""


class NonFiniteError(GraitError):
    """So many losses or gradients are infinite or NaN that no result is left."""


class DialError(GraitError):
    """The refusal dial cannot reach its target, or cannot be used where it is asked for."""


class ServerError(GraitError):
    """A server that is asked for answers cannot be reached, does not answer, or says what cannot be used.

    ``status``: the HTTP status that tells a client of ours so.
    """

    def __init__(self, message: str, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


class JudgeError(GraitError):
    """What judges answers cannot be asked, raises, or gives too few verdicts."""


class HubError(GraitError):
    """The hub cannot be reached, or does not take what is sent to it."""


def described(value: Any) -> str:
    """A value of a wrong type, as messages show it: its type and the beginning of it, on one line."""
    return f"{type(value).__name__} {' '.join(reprlib.repr(value).split())}"


def reason(error: BaseException) -> str:
    """The message of another library's error, on one line of at most 300 characters.

    Its kind where it says nothing; before it where it says only what was looked for (KeyError, JSONDecodeError).
    """
    kind, text = type(error).__name__, " ".join(str(error).split())
    text = f"{kind}: {text}" if text and isinstance(error, LookupError | JSONDecodeError) else text or kind
    return text if len(text) <= 300 else f"{text[:297]}..."
