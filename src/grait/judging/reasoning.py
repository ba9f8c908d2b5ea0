"""What a model thinks before it answers, in an output: told apart from the answer, and taken off.

It stands between tags (``<think>``, ``[THINK]``, ``<|START_THINKING|>``), between set phrases (Granite), or in channels
(Harmony, Gemma 4), of which only the final one is the answer.
"""

import re

_NAME = r"(?:\w+[:_])?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad|analysis)"
_THINK = r"(?:think(?:ing)?|thoughts?|reasoning)"
_OPENING = (
    rf"<(?:{_NAME})>|\[think\]|◁think▷|<\|channel>thought|<unused94>thought"
    rf"|<\|(?:(?:begin_of|begin|start_of|start)_{_THINK}|{_THINK}_(?:begin|start)|thinking|inner_prefix)\|>"
    r"|\bhere(?: is|'s) my thought process:"
)
_CLOSING = (
    rf"</(?:{_NAME})>|\[/think\]|◁/think▷|<channel\|>|<unused95>"
    rf"|<\|(?:(?:end_of|end)_{_THINK}|{_THINK}_end|/thinking|inner_suffix)\|>"
    r"|\bhere(?: is|'s) my response:"
)
_TAG = re.compile(rf"(?P<opening>{_OPENING})|(?:{_CLOSING})", re.IGNORECASE)
_CHANNEL = re.compile(r"(?:<\|start\|>[^<]*)?<\|channel\|>\s*(?P<name>\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>")
_OPEN_CHANNEL = re.compile(r"<\|channel\|>\s*(?P<name>\w*)[^<]*(?:<\|message\|>[^<]*)?$")
_BARE_CHANNEL = re.compile(r"\A\s*analysis(?=[A-Z]|\w(?s:.*)assistantfinal)")
"""Harmony without its special tokens: ``analysisThe user asks ...assistantfinalParis``."""

_BARE_FINAL = "assistantfinal"
_WRAPPING = re.compile(r"</?(?:answer|response)>|<\|[^<>|]*\|>", re.IGNORECASE)
"""What stands around an answer, in outputs with reasoning."""


def without_reasoning(output: str) -> str:
    """The answer in an output; empty where the output ends before its reasoning does.

    An end of reasoning that has no beginning ends what the prompt began. An output without reasoning is returned as it
    is.
    """
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
    """The tag or channel in which a prompt ends, if that is one of reasoning."""
    channel = _OPEN_CHANNEL.search(text)
    if channel:
        return None if channel["name"] == "final" else channel.group()
    tags = list(_TAG.finditer(text))
    return tags[-1].group() if tags and tags[-1]["opening"] else None


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
        output[channel.end() : end] for channel, end in zip(channels, ends, strict=True) if channel["name"] == "final"
    )
    return answer, channels[-1]["name"] != "final"


def _outside_tags(output: str) -> tuple[str, bool] | None:
    """A tag that is only mentioned in the reasoning opens nothing."""
    answer, start, is_open, is_found = "", 0, False, False
    for tag in _TAG.finditer(output):
        is_found = True
        if not tag["opening"]:
            answer = answer if is_open else ""
            start, is_open = tag.end(), False
        elif not is_open:
            answer, is_open = answer + output[start : tag.start()], True
    if not is_found:
        return None
    return answer if is_open else answer + output[start:], is_open
