"""A free conversation with the tuned model: its own chat template, any message, greedy answers as they come.

Nothing of a run's prompts is in it. Where the run has a refusal dial for a bare question in the chat template, what it
decides is told beside the answer; the answer stays the model's own.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteriaList, TextIteratorStreamer

from grait.chat.reply import dialled
from grait.commands.finished import LiveRun
from grait.errors import ModelError, reason
from grait.model.limits import longest_sequence

Turn = tuple[str, str]
"""A user's message, and the answer to it."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A conversation as tokens, short enough: the ``n_dropped`` oldest turns are not in it. ``n_answer``: most tokens
    of the answer; ``message``: the last one."""

    token_ids: tuple[int, ...]
    n_dropped: int
    n_answer: int
    message: str


@dataclass
class Answer:
    """An answer while it comes: iterating gives its pieces. ``text``: the whole, once the pieces have ended.
    ``was_cut``: it ended at the most tokens allowed, not by itself."""

    pieces: Iterator[str] = field(repr=False)
    text: str = ""
    was_cut: bool = False

    def __iter__(self) -> Iterator[str]:
        return self.pieces


@dataclass(frozen=True)
class Speaker:
    """A run's models in conversation. ``system``: the system message, None for what the template does by itself. Making
    one raises ModelError when the model has no chat template, or when it takes no system message."""

    run: LiveRun
    system: str | None
    max_new_tokens: int

    def __post_init__(self) -> None:
        if not self.run.has_chat:
            raise ModelError(f"{self.run.data.config.model.name}: has no chat template; ask it with --form trained")
        self._token_ids([], "Hello")

    def fit(self, turns: Sequence[Turn], message: str) -> Fitted:
        """The conversation up to the answer, without as many of the oldest turns as make it too long. What is left has
        room for ``max_new_tokens``; a message alone may leave less. Raises ModelError when it leaves none."""
        longest = longest_sequence(self.run.model.config.get_text_config())
        for n_dropped in range(len(turns) + 1):
            token_ids = self._token_ids(turns[n_dropped:], message)
            if len(token_ids) + self.max_new_tokens <= longest:
                return Fitted(token_ids, n_dropped, self.max_new_tokens, message)
        if len(token_ids) >= longest:
            raise ModelError(
                f"the message has {len(token_ids)} tokens with what the chat template adds, and the model attends to "
                f"{longest}; shorten it"
            )
        return Fitted(token_ids, len(turns), longest - len(token_ids), message)

    def answer(self, fitted: Fitted, *, by_initial: bool = False) -> Answer:
        """The tuned model's greedy answer, or the initial model's to the same conversation."""
        answer = Answer(iter(()))
        answer.pieces = self._streamed(fitted, by_initial, answer)
        return answer

    def decision(self, fitted: Fitted) -> str | None:
        """What the dial of the chat makes of it, in words; None without one."""
        found = self.run.chat_dial(self.system)
        if found is None:
            return None
        form, dial = found
        if fitted.n_answer < len(dial.refusal_token_ids):
            return f"dial ({form}): no room for an answer"
        n_tokens = min(fitted.n_answer, self.run.data.config.evaluation.max_new_tokens)  # as the dial was set
        try:
            both = self.run.decided(fitted.token_ids, fitted.message, dial, n_tokens)
        except ModelError as error:
            return f"dial ({form}): {error}"
        score, threshold, gate = dial.setting
        shown = dialled(both, dial.refusal, score, threshold, gate)
        other = "" if shown.answer == both.output else f"; with the dial: {shown.answer}"
        return f"dial ({form}): {shown.says}{other}"

    def _token_ids(self, turns: Sequence[Turn], message: str) -> tuple[int, ...]:
        messages = [{"role": "system", "content": self.system}] if self.system is not None else []
        for asked, answered in turns:
            messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        messages.append({"role": "user", "content": message})
        return self.run.data.prompts.chat(messages).token_ids

    def _streamed(self, fitted: Fitted, by_initial: bool, answer: Answer) -> Iterator[str]:
        """The pieces; whoever stops listening stops the model, too."""
        streamer = TextIteratorStreamer(self.run.tokenizer, skip_prompt=True, skip_special_tokens=True)
        has_left = threading.Event()
        failed: list[Exception] = []

        def generate() -> None:
            try:
                self._generate(fitted, by_initial, streamer, has_left, answer)
            except Exception as error:  # raised again where the pieces are read
                failed.append(error)
                streamer.on_finalized_text("", stream_end=True)

        thread = threading.Thread(target=generate, daemon=True)
        thread.start()
        try:
            yield from streamer
        finally:
            has_left.set()
            thread.join()
        if failed:
            raise ModelError(f"the model could not answer: {reason(failed[0])}") from failed[0]

    @torch.inference_mode()
    def _generate(
        self,
        fitted: Fitted,
        by_initial: bool,
        streamer: TextIteratorStreamer,
        has_left: threading.Event,
        answer: Answer,
    ) -> None:
        run = self.run

        def stop(token_ids: Tensor, *_: Any, **__: Any) -> Tensor:
            return torch.full(token_ids.shape[:1], has_left.is_set(), device=token_ids.device)

        with run.alone, run.model.disable_adapter() if by_initial else nullcontext():
            prompt = torch.tensor([fitted.token_ids], device=run.model.device)
            (found,) = run.model.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=fitted.n_answer,
                do_sample=False,
                num_beams=1,
                repetition_penalty=1.0,
                eos_token_id=run.chat_ends,
                pad_token_id=run.pad_token_id,
                streamer=streamer,
                stopping_criteria=StoppingCriteriaList([stop]),
            )
        token_ids = found[prompt.shape[1] :].tolist()
        answer.text = str(run.tokenizer.decode(token_ids, skip_special_tokens=True))
        answer.was_cut = token_ids[-1] not in run.chat_ends


def dropped(n: int) -> str:
    """Words for when the oldest turns do not fit any more."""
    return (
        f"the conversation is too long for the model: the oldest {'turn is' if n == 1 else f'{n} turns are'} left out"
    )


def cut(n_tokens: int) -> str:
    """Words for when an answer ended at the limit."""
    return f"cut off after {n_tokens} tokens (--max-new-tokens)"


def dial_note(speaker: Speaker) -> str:
    """For which conversations the run has a dial, in words; what to do where it has none."""
    found = speaker.run.chat_dial(speaker.system)
    if found:
        return (
            f"Beside each answer stands what the refusal dial of the form {found[0]} decides; it was set on single "
            "questions."
        )
    if speaker.run.dials is None:
        return "The run has no refusal dial (grait calibrate sets one)."
    return (
        f"The refusal dial is set for the form {', '.join(speaker.run.dials.forms)}, not for a bare question in a "
        "chat, and is not used here: train the form question, too (prompt.forms), and calibrate it."
    )
