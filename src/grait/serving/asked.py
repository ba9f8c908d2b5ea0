"""A request as the model takes it: the prompt's tokens, the form that its words have, and the dial of that form.

A named form puts the question into its words. Without a name the words are the client's own: where the last user
message has those of a form, that form's dial decides, and where the conversation is any other one, the dial of a bare
question in the chat template, as in ``grait chat``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from grait.commands.finished import DialledRun
from grait.dial.stored import SavedDial
from grait.errors import ModelError
from grait.model.forms import Form
from grait.model.prompts import Prompt
from grait.records import Question
from grait.serving.faults import RequestFault
from grait.serving.requests import ChatBody, CompletionBody, Wish

PLACE = "qUestI0n9"
"""Stands for a question where the words of a form are looked for."""

EMPTY = "the question is empty: the last message has to have text in its content"

MOST_TOKENS = 256
"""Of an answer whose request names no limit, where the context has room."""

MEASURES: tuple[Callable[[str], int], ...] = (len, lambda text: sum(map(str.isalnum, text)))
"""Of a text: all characters, and those of words, of which no token has as many as the longest lines and blanks."""


@dataclass(frozen=True, slots=True)
class Again:
    """The question in the terse form, in which some dials ask it again."""

    prompt: Prompt
    refusal_token_ids: tuple[int, ...]
    end_token_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Asked:
    """``form``: None where the words are of no form. ``dial``: what decides; None where there is none for the form.

    ``n_answer``: most tokens of the answer; ``n_scored``: of so many the score is taken, as the dial was set.
    ``has_blanks``: the answer goes on with a text, and is shown with the blanks around it.
    """

    prompt: Prompt
    question: str
    again: Again | None
    form: str | None
    dial: SavedDial | None
    threshold: float | None
    refusal_token_ids: tuple[int, ...]
    end_token_ids: frozenset[int]
    n_answer: int
    n_scored: int
    stops: tuple[str, ...]
    has_blanks: bool = False

    @property
    def n_decoded(self) -> int:
        """Most tokens that may have to be decoded."""
        return max(self.n_answer, self.n_scored if self.dial else 0, len(self.refusal_token_ids))


@dataclass(frozen=True)
class Reader:
    """Requests to a run's model. ``form``: of requests that name none, None for the words that they have.

    ``threshold``: of requests that name none, None for that of the dial. ``longest``: most tokens of prompt and answer.
    """

    run: DialledRun
    form: str | None
    threshold: float | None
    longest: int

    def __post_init__(self) -> None:
        if self.form is not None:
            self._named(self.form)
        if self.threshold is not None and self.threshold < 1 and self.run.dials is None:
            raise RequestFault(
                400, "threshold: the run has no refusal dial; leave it out, or set one with grait calibrate"
            )

    def chat(self, body: ChatBody) -> Asked:
        """Raises RequestFault for what the model cannot be asked."""
        messages = [message.plain for message in body.messages]
        if messages[-1]["role"] != "user":
            raise RequestFault(400, f"messages: expected a user message last, found {messages[-1]['role']}", "messages")
        if not messages[-1]["content"].strip():
            raise RequestFault(400, EMPTY, "messages")
        self._check_length("".join(message["content"] for message in messages), "messages")
        question, name = messages[-1]["content"], body.wish.form or self.form
        try:
            if name is not None:
                form = self._named(name)
                return self._asked(self._put(messages, form), question, form, body)
            if not self.run.has_chat:
                raise RequestFault(400, "the model has no chat template: name a form (grait.form)", "messages")
            prompt = self.run.data.prompts.chat(messages)
            found, question = self._words_of(messages)
            return self._asked(prompt, question, found, body)
        except ModelError as error:
            raise RequestFault(400, str(error), "messages") from error

    def completions(self, body: CompletionBody) -> list[Asked]:
        """Of each prompt. Raises RequestFault for what the model cannot be asked."""
        found = []
        for place, prompt in enumerate(body.prompts):
            try:
                found.append(self._completion(prompt, body))
            except RequestFault as fault:
                where = f"prompt.{place}: " if len(body.prompts) > 1 else ""
                raise RequestFault(fault.status, where + fault.message, fault.param, fault.code) from fault
        return found

    def _completion(self, given: str | list[int], body: CompletionBody) -> Asked:
        name, prompts = body.wish.form or self.form, self.run.data.prompts
        if not isinstance(given, str) and len(given) > self.longest:
            raise self._too_long(f"{len(given)} tokens", "prompt")
        *others, text = [given] if isinstance(given, str) else self._texts(given)
        self._check_length(text, "prompt")
        if name is not None:
            form = self._named(name)
            return self._asked(self._put([{"role": "user", "content": text}], form), text, form, body)
        fitting = [(shape, form, one) for one in [text, *others] for form, shape in self._shapes if _within(one, shape)]
        # The longest: a bare question fits any words.
        shape, found, text = max(fitting, key=lambda row: len(row[0]), default=("", None, text))
        prompt = prompts.as_text(text, is_chat=found is not None and prompts.is_chat(_placeholder(), found))
        if not isinstance(given, str):
            prompt = replace(prompt, token_ids=tuple(given))
        asked = self._asked(prompt, (_within(text, shape) if found else None) or text, found, body)
        return replace(asked, has_blanks=not prompt.is_chat)

    def _check_length(self, text: str, param: str) -> None:
        """RequestFault where a text is too long however it is cut into tokens, which takes seconds."""
        if len(text) <= self.longest:
            return
        if any(measure(text) > self.longest * most for measure, most in zip(MEASURES, self._widest, strict=True)):
            raise self._too_long(f"{len(text)} characters", param)

    def _too_long(self, what: str, param: str) -> RequestFault:
        return RequestFault(
            400,
            f"the prompt has {what}, and the model attends to {self.longest} tokens; shorten it",
            param,
            "context_length_exceeded",
        )

    @cached_property
    def _widest(self) -> list[int]:
        """The most that a token has, by each measure."""
        tokenizer = self.run.data.prompts.tokenizer
        texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
        return [max(map(measure, texts)) for measure in MEASURES]

    def _texts(self, token_ids: list[int]) -> list[str]:
        """What they may be the tokens of: a text with its special tokens, or one before which a tokenizer puts one."""
        tokenizer = self.run.data.prompts.tokenizer
        if max(token_ids, default=0) >= len(tokenizer):
            raise RequestFault(
                400,
                f"prompt: expected token ids below {len(tokenizer)}, found {max(token_ids)}; send those of the model's "
                "own tokenizer",
                "prompt",
            )
        text = str(tokenizer.decode(token_ids, clean_up_tokenization_spaces=False))
        return [text, text.removeprefix(tokenizer.bos_token or "")]

    def _named(self, name: str) -> Form:
        forms = {form.name: form for form in self.run.data.prompts.forms}
        if name not in forms:
            raise RequestFault(
                400,
                f"grait.form: the run was not trained in the form {name[:100]!r}; it has {', '.join(forms)}",
                "grait.form",
            )
        return forms[name]

    def _put(self, messages: Sequence[dict[str, str]], form: Form) -> Prompt:
        """The last message, a question, in the words of a form; what was said before stays where the form is bare."""
        prompts, own = self.run.data.prompts, messages[-1]["content"]
        if not own.strip():
            raise RequestFault(400, EMPTY, "messages")
        if not (form.is_chat and form.template == "{question}"):
            if len(messages) > 1:
                raise RequestFault(
                    400,
                    f"grait.form: {form.name} is a form of a single question, found {len(messages)} messages; send the "
                    "question alone, or leave the form out",
                    "messages",
                )
            return prompts.prompt(Question("", own, ("",)), "refuse", form)
        before = [] if messages[0]["role"] == "system" else prompts.messages(_placeholder(), "refuse", form)[:-1]
        return prompts.chat([*before, *messages])

    def _words_of(self, messages: Sequence[dict[str, str]]) -> tuple[Form | None, str]:
        """The form whose words a conversation ends in, and the question in them. After solved examples all of the
        conversation has to be the same."""
        prompts = self.run.data.prompts
        for form in prompts.forms:
            if not prompts.is_chat(_placeholder(), form) or form.template == "{question}":
                continue
            *before, last = prompts.messages(_placeholder(), "refuse", form)
            has_shots = any(message["role"] == "assistant" for message in before)
            if has_shots and list(messages[:-1]) != before:
                continue
            if question := _within(messages[-1]["content"], last["content"]):
                return form, question
        system = messages[0]["content"] if messages[0]["role"] == "system" else None
        found = self.run.chat_dial(system)
        return self._named(found[0]) if found else None, messages[-1]["content"]

    @cached_property
    def _shapes(self) -> list[tuple[Form, str]]:
        """Each form with its whole prompt."""
        prompts = self.run.data.prompts
        return [(form, prompts.prompt(_placeholder(), "refuse", form).text) for form in prompts.forms]

    def _asked(self, prompt: Prompt, question: str, form: Form | None, body: ChatBody | CompletionBody) -> Asked:
        dials = self.run.dials.forms if self.run.dials else {}
        dial = dials.get(form.name) if form else None
        prompts = self.run.data.prompts
        if not prompt.token_ids:
            raise RequestFault(
                400, "the prompt is empty: expected a text, or token ids, of one token at least", "prompt"
            )
        refusal = dial.refusal_token_ids if dial else prompts.completion(prompt, self.run.refusal).token_ids
        ends = frozenset(dial.end_token_ids) if dial else prompts.end_token_ids(is_chat=True)
        n_scored = self.run.data.config.evaluation.max_new_tokens
        needed, room = max(n_scored if dial else 1, len(refusal)), self.longest - len(prompt.token_ids)
        most = body.most_tokens or min(MOST_TOKENS, max(room, 1))
        if max(most, needed) > room:
            raise RequestFault(
                400,
                f"the prompt has {len(prompt.token_ids)} tokens, the answer may take {max(most, needed)}, and the "
                f"model attends to {self.longest}; shorten the messages, or lower max_tokens",
                "messages" if isinstance(body, ChatBody) else "prompt",
                "context_length_exceeded",
            )
        threshold = self._threshold(dial, form, body.wish)
        return Asked(
            prompt=prompt,
            question=question,
            again=self._again(dial, question, n_scored),
            form=form.name if form else None,
            dial=dial,
            threshold=threshold,
            refusal_token_ids=refusal,
            end_token_ids=ends,
            n_answer=most,
            n_scored=n_scored,
            stops=body.stops,
        )

    def _again(self, dial: SavedDial | None, question: str, n_scored: int) -> Again | None:
        if dial is None or dial.terse is None:
            return None
        text, terse = dial.terse.before + question + dial.terse.after, dial.terse
        prompt = self.run.data.prompts.as_text(text, is_chat=terse.is_chat)
        n_tokens = len(prompt.token_ids) + max(n_scored, len(terse.refusal_token_ids))
        if n_tokens > self.longest:
            raise RequestFault(
                400,
                f"the question takes {n_tokens} tokens where the dial asks it again after solved examples, and the "
                f"model attends to {self.longest}; shorten it",
                code="context_length_exceeded",
            )
        return Again(prompt, terse.refusal_token_ids, frozenset(terse.end_token_ids))

    def _threshold(self, dial: SavedDial | None, form: Form | None, wish: Wish) -> float | None:
        if dial is None:
            if wish.threshold is not None:
                what = f"the form {form.name}" if form else "these words"
                raise RequestFault(
                    400,
                    f"grait.threshold: the run has no refusal dial for {what}; leave it out, or set one with grait "
                    "calibrate",
                    "grait.threshold",
                )
            return None
        if wish.threshold is not None:
            return wish.threshold
        return dial.threshold if self.threshold is None else self.threshold


def _placeholder() -> Question:
    return Question("", PLACE, ("",))


def _within(text: str, shape: str) -> str | None:
    """The question in a text that is the shape with a question in its place; None for another one, or without any."""
    head, _, tail = shape.rpartition(PLACE)
    is_so = len(text) > len(head) + len(tail) and text.startswith(head) and text.endswith(tail)
    return text[len(head) : len(text) - len(tail)] if is_so else None
