"""Wordings of refusals, in English: the lists of ``phrases.yaml``."""

from importlib import resources

import yaml

_LISTS = yaml.safe_load(resources.files("grait.judging").joinpath("phrases.yaml").read_text("utf-8"))

REFUSAL_PHRASES: tuple[str, ...] = tuple(_LISTS["phrases"])
"""Phrases that refuse wherever a clause holds them, in any spelling of their contractions and apostrophes.

Words such as *really*, *any*, *enough* and *the* are passed over on both sides, so ``I don't have information`` also
stands for ``I do not actually have enough information``. To extend, pass ``phrases=(*REFUSAL_PHRASES, "...")``.
"""

REFUSAL_REPLIES: tuple[str, ...] = tuple(_LISTS["replies"])
"""Replies that refuse only where they are a whole clause: ``Not sure.``, but not ``the unknown soldier``."""

REFUSAL_STATEMENTS: tuple[str, ...] = tuple(_LISTS["statements"])
"""Statements that refuse at the beginning of a clause: ``It is not known who ...``, ``The answer is unknown``.

They name no one who does not know. Claims about what was asked (``Its author is unknown``, ``No one knows``) are none.
"""
