"""What a model thinks before it answers, in an output: told apart from the answer, and taken off.

It stands between tags that are named for thinking (``<think>``, ``[THINK]``, ``<|START_THINKING|>``), between set
phrases (Granite, Apriel), or in channels (Harmony, Gemma 4), of which only the final one is the answer.
"""

import re

_WORD = (
    r"(?:think(?:ing|s)?|thoughts?|reason(?:ing|s)?|reflect(?:ions?|ing)?|ponder(?:ing)?|scratch[_-]?pad|analysis"
    r"|monologue|cot|rationale|deliberat(?:e|ions?|ing)|contemplat(?:e|ions?|ing)|introspection|brainstorm(?:ing)?"
    r"|internal|plan(?:ning)?)"
)
_NAME = rf"(?:[a-z0-9]+[_:.-])*{_WORD}(?:[_:.-][a-z0-9]+)*"
_ATTRIBUTES = r"(?:\s+[\w:-]+\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s<>\"'=]+))*"
_END = r"(?:end|stop|close)"
_CLOSES = rf"(?:/|(?={_END}[_:.-])|(?=[\w:.-]+[_:.-]{_END}\b))"
"""What tells a closing tag: ``</think>``, ``<|end_of_thought|>``, ``<|think_end|>``."""

_SQUARE = rf"\[(?P<square>{_NAME})\]"
_CLOSED = r"(?=(?s:.*)\[/(?P=square)\])"
"""Brackets are common: they open reasoning where they are closed, and in a prompt, which ends before that."""

_TAGS = (
    rf"(?:<\s*[|｜]?\s*|◁)(?P<closing>{_CLOSES})?\s*{_NAME}{_ATTRIBUTES}\s*(?:[|｜]?\s*>|▷)"
    r"|\[\s*(?P<closing_square>/)?\s*think\s*\]"
    rf"|(?P<after_square>\[/{_NAME}\])"
    r"|<\|channel>thought|<unused94>thought|<\|inner_prefix\|>|\bhere(?: is|'s) my thought process:"
    r"|\A\s*here are my reasoning steps:"
    r"|(?P<other>)(?:<channel\|>|<unused95>|<\|inner_suffix\|>|\bhere(?: is|'s) my response:"
    r"|\[BEGIN FINAL RESPONSE\]|<[|｜](?:\w+[_:.-])?final[|｜]>)"
)
_TAG = re.compile(f"{_TAGS}|{_SQUARE}{_CLOSED}", re.IGNORECASE)
_TAG_OF_PROMPT = re.compile(f"{_TAGS}|{_SQUARE}", re.IGNORECASE)
_CLOSING = ("closing", "closing_square", "after_square", "other")
_WORDS = re.compile(
    r"(?:\A|[\n>\]▷])[^\S\n]*(?P<words>[^\n<>\[\]]*\b(?:think|thinking|thoughts?|reason|reasoning|step[ -]by[ -]step)\b"
    r"[^\n<>\[\]]*)\s*\Z",
    re.IGNORECASE,
)
_NOT = re.compile(r"\b(?:no|not|don't|without|skip)\b", re.IGNORECASE)
_CHANNEL = re.compile(
    r"(?:<\|start\|>[^<]*)?<\|channel\|>\s*(?P<name>\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
    r"|(?:<\|start\|>[^<]*)?\bto=(?P<to>\w+)\s*<\|message\|>"
)
_OPEN_CHANNEL = re.compile(r"<\|channel\|>\s*(?P<name>\w*)[^<]*(?:<\|message\|>[^<]*)?$")
_BARE_CHANNEL = re.compile(r"\A\s*analysis(?=[A-Z]|\w(?s:.*)assistantfinal)")
"""Harmony without its special tokens: ``analysisThe user asks ...assistantfinalParis``."""

_BARE_FINAL = "assistantfinal"
_WRAPPING = re.compile(
    r"<\s*/?\s*(?:final[_ -])?(?:answer|response)\s*>|<\|[^<>|]*\|>|\[END FINAL RESPONSE\]", re.IGNORECASE
)
"""What stands around an answer, in outputs with reasoning."""


def without_reasoning(output: str) -> str:
    """The answer in an output; empty where the output ends before its reasoning does. An end of reasoning that has no
    beginning ends what the prompt began. An output without reasoning is returned as it is."""
    found = _parts(output)
    return output if found is None else _WRAPPING.sub("", found[0]).strip()


def ends_in_reasoning(output: str) -> bool:
    """Whether the output ended inside its reasoning, before any answer."""
    found = _parts(output)
    return found is not None and found[1] and not without_reasoning(output)


def has_reasoning(output: str) -> bool:
    """Whether anything in the output is reasoning."""
    return _parts(output) is not None


def open_tag(text: str) -> str | None:
    """The tag, channel or line of words in which a prompt ends, if that is one of reasoning."""
    channel = _OPEN_CHANNEL.search(text)
    if channel:
        return None if channel["name"] == "final" else channel.group()
    words = _WORDS.search(text)
    if words and not _NOT.search(words["words"]):
        return words["words"]
    tags = list(_TAG_OF_PROMPT.finditer(text))
    return tags[-1].group() if tags and not _is_closing(tags[-1]) else None


def _is_closing(tag: re.Match[str]) -> bool:
    return any(tag[name] is not None for name in _CLOSING)


def _parts(output: str) -> tuple[str, bool] | None:
    """The text outside the reasoning, and whether the reasoning is open at the end; None where there is none."""
    if _CHANNEL.search(output):
        return _final_channel(output)
    if _BARE_CHANNEL.match(output):
        _, is_closed, answer = output.rpartition(_BARE_FINAL)
        return answer if is_closed else "", not is_closed
    return _outside_tags(output)


def _final_channel(output: str) -> tuple[str, bool]:
    """What stands before the first channel goes on with the prompt's, the final one."""
    channels = list(_CHANNEL.finditer(output))
    ends = [*(channel.start() for channel in channels[1:]), len(output)]
    answer = output[: channels[0].start()] + "".join(
        output[channel.end() : end] for channel, end in zip(channels, ends, strict=True) if _is_final(channel)
    )
    return answer, not _is_final(channels[-1])


def _is_final(channel: re.Match[str]) -> bool:
    return channel["name"] == "final" or channel["to"] == "user"


def _outside_tags(output: str) -> tuple[str, bool] | None:
    """A tag that is only mentioned in the reasoning opens nothing."""
    answer, start, is_open, is_found = "", 0, False, False
    for tag in _TAG.finditer(output):
        is_found = True
        if _is_closing(tag):
            answer = answer if is_open else ""
            start, is_open = tag.end(), False
        elif not is_open:
            answer, is_open = answer + output[start : tag.start()], True
    if not is_found:
        return None
    return answer if is_open else answer + output[start:], is_open
