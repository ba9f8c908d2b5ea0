"""Answers of a served model, free and without the refusal, with their probabilities, as far as a server has them.

What a server tells is found out once, with one question. Where it gives no log-probabilities, leaves out that of the
end token, or cannot tell how likely the refusal is, the model itself is asked here for what is missing: the same
numbers, never others in their place.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, TypeVar

from grait.errors import ServerError
from grait.model.asking import ask_all
from grait.model.engine import Advance, BothWays, Engine, Tokens, silent
from grait.model.prompts import Prompt, PromptFormat
from grait.model.server import TOO_LATE, Said, Server, check, to_its_end
from grait.runtime.artifacts import fingerprint
from grait.runtime.journal import Journal

FoundT = TypeVar("FoundT")

FIRST_SECONDS = 30.0
"""A question by which is found out what a server can do is given up after so many, however long later ones may take."""

LINE_BREAK = "\n"
"""Ends an answer in plain text."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a server can do. ``takes_tokens``: prompts as token ids. ``adds_bos``: to prompts as text.

    ``has_logprobs``: of every token of an answer, the end token too, with the best two where it begins. ``has_echo``:
    of a prompt's tokens. ``lacks``: what is missing, in words.
    """

    takes_tokens: bool
    adds_bos: bool
    has_logprobs: bool
    has_echo: bool
    lacks: str | None


class Follower(Protocol):
    """As ``engine.Watch``, of one prompt. Parts of an answer are texts or token ids."""

    def begun(self, refusal_logprobs: list[float], is_both: bool) -> None: ...

    def goes_on(self, sample: int, parts: list[Any], logprobs: list[float], has_ended: bool) -> bool: ...


def find_out(server: Server, prompts: PromptFormat, prompt: Prompt, refusal: Tokens, n_tokens: int) -> Abilities:
    """Ask for one answer in the ways that matter, each for ``most_seconds``. ServerError where the server cannot be
    asked with our prompts, or gives no answer in that time."""
    try:
        return _found_out(server, prompts, prompt, refusal, n_tokens)
    except ServerError as error:
        if error.status != TOO_LATE:
            raise
        raise ServerError(
            f"{server.address.url}, {server.address.model}: no answer within {most_seconds(server):g} s; see whether "
            "it is still loading its model, and start again when it answers",
            TOO_LATE,
        ) from error


def most_seconds(server: Server) -> float:
    """Of a question by which is found out what a server can do."""
    return min(FIRST_SECONDS, server.address.seconds)


def _found_out(server: Server, prompts: PromptFormat, prompt: Prompt, refusal: Tokens, n_tokens: int) -> Abilities:
    first = _tried(lambda: _at_once(server).complete(prompt.token_ids, 1))
    takes_tokens, adds_bos = first is not None, False
    first = first or _at_once(server).complete(prompt.text, 1)
    if first.is_ours and (refusing := server.refusing_forms()) != []:
        told = f"in the forms {', '.join(refusing)}" if refusing else "(its /v1/models does not tell in which forms)"
        raise ServerError(
            f"{server.address.url}: has a refusal dial, which may refuse {told}, and its answers are not the model's "
            "own; start it with --threshold 1, or name the server behind it"
        )
    if not takes_tokens:
        n_prompt, bos = first.n_prompt, prompts.tokenizer.bos_token
        if n_prompt == len(prompt.token_ids) + 1 and bos and prompt.text.startswith(bos):
            adds_bos = True
        elif n_prompt not in (None, len(prompt.token_ids)):
            raise ServerError(
                f"{server.address.url}: makes {n_prompt} tokens of a prompt of {len(prompt.token_ids)}: it puts "
                "prompts into a template of its own, or serves another model; serve what grait merge writes"
            )
    shown = prompt.token_ids if takes_tokens else _as_text(prompts, prompt, adds_bos)
    stop = None if prompt.is_chat else LINE_BREAK
    try:
        said = _at_once(server).complete(shown, n_tokens, stop=stop, logprobs=2, follow=to_its_end)
        if takes_tokens and not said.has_ended:  # what a tuned model ends by itself, as likely as not
            begun = [*prompt.token_ids, *refusal[:-1]]
            ended = _at_once(server).complete(begun, n_tokens, stop=stop, logprobs=2, follow=to_its_end)
            said = ended if ended.has_ended else said
    except ServerError as error:
        if error.status == TOO_LATE:
            raise
        said = Said()
    has_end = said.has_ended and "".join(said.shown[:-1]).strip() == said.text.strip()
    has_logprobs = has_end and len(said.first) >= 2
    has_echo = has_logprobs and takes_tokens and _tried(lambda: _echoed(_at_once(server), prompt, refusal)) is not None
    lacks = (
        "gives no log-probabilities"
        if not said.tokens
        else "gives one token's log-probability where an answer begins, and two are needed"
        if len(said.first) < 2
        else "gave no answer with an end, so that the log-probability of its end token cannot be relied on"
        if not said.has_ended
        else "leaves out the log-probability of the end token"
        if not has_end
        else None
        if has_echo
        else "cannot tell how likely a given text is (echo)"
    )
    return Abilities(takes_tokens, adds_bos, has_logprobs, has_echo, lacks)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Answers to one prompt. ``n_tokens``: most of the answer, as far as it is shown.

    ``n_scored``: log-probabilities are needed, of so many tokens where there are as many; 0 for none.
    ``needs_refusal``: those of the refusal, too. ``is_alone``: by these, whether it is the free answer without
    log-probabilities that is wanted.
    """

    prompt: Prompt
    refusal: Tokens
    end_token_ids: frozenset[int]
    n_tokens: int
    n_scored: int = 0
    needs_refusal: bool = False
    is_alone: Callable[[list[float]], bool] = lambda _: False

    @property
    def n_decoded(self) -> int:
        return max(self.n_tokens, self.n_scored)


class _LacksTokens(Exception):
    """An answer whose log-probabilities are not those of all its tokens."""


@dataclass
class ServedModel:
    """A model that a server has. ``local``: the same here, for what the server lacks; ``alone``: held to ask it."""

    server: Server
    abilities: Abilities
    prompts: PromptFormat
    local: Engine | None = None
    alone: AbstractContextManager[object] = field(default_factory=nullcontext)

    def answer(self, wanted: Wanted, follower: Follower) -> None:
        """Have a follower told of the answers to one prompt."""
        prompt, refusal = wanted.prompt, wanted.refusal
        of_refusal = self.completion_logprobs(prompt, refusal) if wanted.needs_refusal else [0.0] * len(refusal)
        if wanted.n_scored and wanted.needs_refusal and wanted.is_alone(of_refusal):
            wanted = replace(wanted, n_scored=0)
        if wanted.n_scored and not self.abilities.has_logprobs:
            self._weighed_here(wanted, self._complete(wanted, to_its_end), follower, of_refusal)
            return
        begins = self._texts_of(refusal[0])
        is_both: bool | None = None

        def follow(said: Said) -> bool:
            nonlocal is_both
            if wanted.n_scored:
                _check_weighed(said)
                if self._lacks_tokens(said.tokens):
                    raise _LacksTokens
            parts: list[Any] = said.shown or self._parts(said, wanted.n_tokens)
            if not parts and not said.has_ended:
                return True
            if is_both is None:
                is_both = not wanted.n_scored or not said.tokens or said.tokens[0] not in begins
                follower.begun(of_refusal, is_both)
            kept = said.shown[:-1] if said.tokens and said.has_ended else parts
            return follower.goes_on(0, kept, said.logprobs, said.has_ended)

        try:
            said = self._complete(wanted, follow)
            if is_both is None:
                raise ServerError(f"{self.server.address.url}: the answer is empty, and has no end")
            if not is_both:
                self._suppressed(wanted, said, follower, begins)
        except _LacksTokens:
            if self.local is None:
                raise ServerError(
                    f"{self.server.address.url}: leaves out log-probabilities where a character has several tokens"
                ) from None
            self._weighed_here(wanted, self._complete(wanted, to_its_end), follower, of_refusal)

    def suppressed_logprob(self, wanted: Wanted) -> float:
        """Of the whole answer that may not begin as the refusal."""
        found = Kept()
        self.answer(wanted, found)
        return sum(found.logprobs)

    def completion_logprobs(self, prompt: Prompt, completion: Tokens) -> list[float]:
        """Log-probability of every token of a text after a prompt."""
        if self.abilities.has_echo:
            return _echoed(self.server, prompt, completion)
        assert self.local is not None
        with self.alone:
            ((found,),) = self.local.completion_logprobs([prompt.token_ids], [[completion]])
        return found

    def _complete(self, wanted: Wanted, follow: Callable[[Said], bool], begin: str = "") -> Said:
        """``begin``: with which the answer begins, in one token."""
        prompt, n_tokens = wanted.prompt, wanted.n_decoded - bool(begin)
        shown: str | list[int] = _as_text(self.prompts, prompt, self.abilities.adds_bos) + begin
        if self.abilities.takes_tokens:
            shown = [*prompt.token_ids, *self.token_ids(begin)]
        more = {"logprobs": 2} if wanted.n_scored and self.abilities.has_logprobs else {}
        return self.server.complete(shown, n_tokens, follow=follow, stop=None if prompt.is_chat else LINE_BREAK, **more)

    def _suppressed(self, wanted: Wanted, said: Said, follower: Follower, begins: set[str]) -> None:
        """The answer that begins with the most probable other token."""
        others = {token: logprob for token, logprob in said.first.items() if token not in begins}
        if not others:
            raise ServerError(f"{self.server.address.url}: no token but the refusal's where the answer begins")
        token = max(others, key=lambda one: others[one])
        ends = {text for end in self.prompts.end_token_ids(is_chat=True) for text in self._texts_of(end)}
        if token in ("", *ends) or (LINE_BREAK in token and not wanted.prompt.is_chat):
            follower.goes_on(1, [], [others[token]], True)
            return
        if not follower.goes_on(1, [token], [others[token]], False) or wanted.n_decoded == 1:
            return

        def follow(more: Said) -> bool:
            _check_weighed(more)
            if self._lacks_tokens([token, *more.tokens]):
                raise _LacksTokens
            kept = more.shown[:-1] if more.has_ended else more.shown
            return follower.goes_on(1, [token, *kept], [others[token], *more.logprobs], more.has_ended)

        self._complete(wanted, follow, token)

    def _weighed_here(self, wanted: Wanted, said: Said, follower: Follower, of_refusal: list[float]) -> None:
        """The server's answer with the probabilities that the model has here."""
        assert self.local is not None
        prompt, refusal, n_tokens, ends_at = wanted.prompt, wanted.refusal, wanted.n_decoded, wanted.end_token_ids
        answer = said.text.removeprefix(prompt.blanks)
        token_ids = list(self.prompts.completion(prompt, answer).token_ids[:-1]) if answer else []
        # Than those that the server wrote: of broken characters, or of an answer that was cut where two would merge.
        has_other_tokens = "\ufffd" in answer or (not said.has_ended and len(token_ids) != n_tokens)
        if token_ids[:1] == [refusal[0]] or has_other_tokens:
            with self.alone:
                (both,) = self.local.answers_both_ways(
                    [prompt.token_ids], [refusal], max_new_tokens=n_tokens, end_token_ids=ends_at
                )
            is_both = both.answer[:1] != [refusal[0]]
            follower.begun(both.completion_logprobs, is_both)
            if not is_both:
                follower.goes_on(0, both.answer, [], True)
            has_ended = len(both.suppressed_logprobs) > len(both.suppressed)
            follower.goes_on(int(not is_both), both.suppressed, both.suppressed_logprobs, has_ended)
            return
        ends = self._likely_ends(ends_at) if said.has_ended else [None]
        completions = [[*token_ids, *([] if end is None else [end])] for end in ends]
        with self.alone:
            (found,) = self.local.completion_logprobs([prompt.token_ids], [completions])
        best = max(found, key=sum)
        follower.begun(of_refusal, True)
        follower.goes_on(0, token_ids, best, said.has_ended)

    def _likely_ends(self, end_token_ids: frozenset[int]) -> list[int]:
        """Of which the most probable one ended an answer; of line breaks, the plain ones."""
        chat = self.prompts.end_token_ids(is_chat=True)
        texts = {end: str(self.prompts.tokenizer.decode([end])) for end in end_token_ids}
        return [end for end, text in texts.items() if end in chat or text in (LINE_BREAK, 2 * LINE_BREAK)]

    def _texts_of(self, token_id: int) -> set[str]:
        """How servers may write a token."""
        raw = str(self.prompts.tokenizer.convert_ids_to_tokens(token_id))
        return {str(self.prompts.tokenizer.decode([token_id])), raw, raw.replace("\u2581", " ").replace("\u0120", " ")}

    def _parts(self, said: Said, n_tokens: int) -> list[Any]:
        """Tokens of an answer whose server tells none; of broken characters, which would be too many, the pieces."""
        token_ids = self.token_ids(said.text)
        return token_ids if len(token_ids) < n_tokens or said.finish else list(said.pieces)

    def _lacks_tokens(self, tokens: Sequence[str]) -> bool:
        """Whether a server told fewer tokens than a text has: some tell those of a character as one, by the last."""
        text = "".join(tokens)
        return not text.isascii() and "\ufffd" not in text and len(self.token_ids(text)) > len(tokens)

    def token_ids(self, text: str) -> list[int]:
        return list(self.prompts.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []


class ServedEngine:
    """A served model as an ``Engine``, for questions of one calibration. ``journal``: keeps what was answered."""

    def __init__(self, model: ServedModel, longest: int, journal: Journal) -> None:
        self._model, self.longest, self._journal = model, longest, journal

    def generate(self, *_: Any, **__: Any) -> list[list[list[int]]]:
        raise NotImplementedError("samples of a served model")

    def completion_logprobs(
        self, prompts: Sequence[Tokens], completions: Sequence[Sequence[Tokens]], *, advance: Advance = silent
    ) -> list[list[list[float]]]:
        """As ``Engine`` says."""

        def ask(place: int) -> list[list[float]]:
            return [self._model.completion_logprobs(self._prompt(prompts[place]), one) for one in completions[place]]

        keys = [
            fingerprint(["completions", list(prompt), [*map(list, own)]])
            for prompt, own in zip(prompts, completions, strict=True)
        ]
        return ask_all(keys, self._names(prompts), ask, self._journal, advance)

    def answers_both_ways(
        self,
        prompts: Sequence[Tokens],
        completions: Sequence[Tokens],
        *,
        max_new_tokens: int,
        end_token_ids: frozenset[int],
        advance: Advance = silent,
    ) -> list[BothWays]:
        """As ``Engine`` says."""

        def ask(place: int) -> dict[str, Any]:
            found, prompt = Kept(), self._prompt(prompts[place], is_chat=not self._ends_at_breaks(end_token_ids))
            n_tokens = max_new_tokens
            wanted = Wanted(prompt, completions[place], end_token_ids, n_tokens, n_tokens, needs_refusal=True)
            self._model.answer(wanted, found)
            return asdict(found.both_ways(self._model))

        ends = sorted(end_token_ids)
        keys = [
            fingerprint(["both ways", list(prompt), list(completion), max_new_tokens, ends])
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
        rows = ask_all(keys, self._names(prompts), ask, self._journal, advance)
        return [BothWays(**row) for row in rows]

    def _prompt(self, token_ids: Tokens, is_chat: bool = True) -> Prompt:
        text = str(self._model.prompts.tokenizer.decode(token_ids, clean_up_tokenization_spaces=False))
        return replace(self._model.prompts.as_text(text, is_chat=is_chat), token_ids=tuple(token_ids))

    def _ends_at_breaks(self, end_token_ids: frozenset[int]) -> bool:
        return end_token_ids == self._model.prompts.end_token_ids(is_chat=False)

    def _names(self, prompts: Sequence[Tokens]) -> list[str]:
        """The last words of each prompt."""
        decode = self._model.prompts.tokenizer.decode
        return [repr(" ".join(str(decode(prompt[-40:], skip_special_tokens=True)).split())[-60:]) for prompt in prompts]


@dataclass
class Kept:
    """Follows an answer to its end, both ways."""

    refusal: list[float] = field(default_factory=list)
    parts: dict[int, list[Any]] = field(default_factory=dict)
    logprobs: list[float] = field(default_factory=list)

    def begun(self, refusal_logprobs: list[float], is_both: bool) -> None:
        self.refusal = list(refusal_logprobs)

    def goes_on(self, sample: int, parts: list[Any], logprobs: list[float], has_ended: bool) -> bool:
        self.parts[sample], self.logprobs = list(parts), list(logprobs)
        return True

    def both_ways(self, model: ServedModel) -> BothWays:
        free, suppressed = (
            [*parts] if not parts or isinstance(parts[0], int) else model.token_ids("".join(parts))
            for parts in (self.parts[0], self.parts[max(self.parts)])
        )
        return BothWays(free, suppressed, self.refusal, self.logprobs)


def decoder(prompts: PromptFormat) -> Callable[[list[Any], Tokens], str]:
    """Parts of an answer to text: token ids of ours, or texts of a server's, who knows what they follow."""
    return lambda parts, _: "".join(parts) if parts and isinstance(parts[0], str) else prompts.written(parts)


def _tried(ask: Callable[[], FoundT]) -> FoundT | None:
    """What is found; None where it fails, but for want of time."""
    try:
        return ask()
    except ServerError as error:
        if error.status == TOO_LATE:
            raise
        return None


def _at_once(server: Server) -> Server:
    """The server, for one question."""
    end = time.monotonic() + most_seconds(server)
    return server.asked_while(lambda: time.monotonic() < end)


def _as_text(prompts: PromptFormat, prompt: Prompt, adds_bos: bool) -> str:
    return prompt.text.removeprefix(prompts.tokenizer.bos_token) if adds_bos else prompt.text


def _echoed(server: Server, prompt: Prompt, completion: Tokens) -> list[float]:
    """Of a text that is a part of the prompt, whose log-probabilities the server tells."""
    said = server.complete([*prompt.token_ids, *completion], 1, echo=True, logprobs=1)
    start, end = len(prompt.token_ids), len(prompt.token_ids) + len(completion)
    found = said.logprobs[start:end]
    if len(found) < len(completion) or len(said.logprobs) - end not in (0, 1) or any(map(math.isnan, found)):
        raise ServerError(f"{server.address.url}: {len(said.logprobs)} log-probabilities of {end} tokens of a prompt")
    return found


def _check_weighed(said: Said) -> None:
    """Raise ServerError where an answer has no log-probabilities, or none of its end."""
    if said.pieces and not said.tokens:
        raise ServerError("the answer has no log-probabilities, though there were some before")
    if said.has_ended:
        check(said)
        if not said.tokens or "".join(said.shown[:-1]).strip() != said.text.strip():
            raise ServerError("the end token has no log-probability, though it had one before")
