"""The chat in the terminal: a conversation as it streams, or questions in the trained form with the refusal dial."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from grait.chat.conversation import Speaker, Turn, cut, dropped
from grait.chat.reply import bar, dialled, printable
from grait.dial.answers import Reply
from grait.dial.threshold import ScoreName, check_threshold
from grait.errors import GraitError
from grait.runtime.printable import well_formed

TALK_HELP = (
    "/new            begin a new conversation\n"
    "/initial        show the initial model's answer beside the tuned one's, or no longer\n"
    "/question TEXT  one question in the trained form, to both models, with the refusal dial\n"
)
HELP = (
    "/threshold X    of the trained form: refuse above this refusal score; 0 refuses all, 1 nothing\n"
    "/threshold off  no dial: the tuned model's own answer\n"
    "/threshold      what it is set to\n"
    "/quit           leave, as do Ctrl-D and Ctrl-C"
)


def typed_lines(console: Console) -> Iterator[str]:
    """Lines that are typed at a prompt, until Ctrl-D or Ctrl-C."""
    while True:
        try:
            yield console.input("[bold]you>[/bold] ")
        except (EOFError, KeyboardInterrupt):
            console.print()
            return


@dataclass
class Chat:
    """The models to ask, and what was said so far.

    ``ask``: a question in the trained form, to both models. ``speaker``: for free conversation, None where every line
    is a question in the trained form. ``score``, ``threshold``, ``gate``: of the dial of the trained form.
    ``shows_initial``: the initial model's answer to the same conversation, too. ``echoes``: each message is printed
    before its answer.
    """

    console: Console
    ask: Callable[[str], Reply]
    speaker: Speaker | None
    method: str
    refusal: str
    score: ScoreName
    threshold: float | None
    gate: float | None = None
    shows_initial: bool = False
    echoes: bool = False
    turns: list[Turn] = field(default_factory=list)
    _last: Reply | None = None

    def talk(self, lines: Iterable[str]) -> None:
        """Answer each line until they end, or until ``/quit``; Ctrl-C while a model answers ends the chat, too. A line
        that begins with / is a command. What cannot be answered is one line, and the chat goes on."""
        try:
            for line in lines:
                text = well_formed(line.strip())
                if text == "/quit":
                    return
                if text != line.strip():
                    self._say("the line is not UTF-8: what could not be read is replaced by \ufffd", style="red")
                try:
                    if text.startswith("/"):
                        self._command(text)
                    elif text and self.speaker is None:
                        self._question(text)
                    elif text:
                        self._message(self.speaker, text)
                except GraitError as error:
                    self._say(f"error: {error}", style="red")
        except KeyboardInterrupt:
            self.console.print()

    def _command(self, text: str) -> None:
        name, _, rest = text.partition(" ")
        talks = self.speaker is not None
        if name == "/threshold":
            self._move(text)
        elif name == "/new" and talks:
            self.turns, self._last = [], None
            self._say("a new conversation")
        elif name == "/initial" and talks:
            self.shows_initial = not self.shows_initial
            self._say(f"initial model: {'shown, too' if self.shows_initial else 'not shown'}")
        elif name == "/question" and talks and rest.strip():
            self._question(rest.strip())
        else:
            self._say((TALK_HELP if talks else "") + HELP)

    def _move(self, command: str) -> None:
        self.threshold = _moved(command, self.threshold)
        self._say(f"threshold: {'off' if self.threshold is None else f'{self.threshold:.4g}'}")
        if self._last is not None:
            self._show(self._last)
        elif self.speaker is not None:
            self._say("it is for the trained form (/question TEXT); in the conversation the dial stays as calibrated")

    def _message(self, speaker: Speaker | None, text: str) -> None:
        assert speaker is not None
        if self.echoes:
            self._say(f"you> {printable(text)}")
        fitted = speaker.fit(self.turns, text)
        if fitted.n_dropped:
            del self.turns[: fitted.n_dropped]
            self._say(dropped(fitted.n_dropped), style="dim")
        self._last = None
        answer = ""
        for name in (*(["initial"] if self.shows_initial else []), self.method):
            self.console.out(f"{name}> ", end="", style="bold", highlight=False)
            found = speaker.answer(fitted, by_initial=name != self.method)
            for piece in found:
                self.console.out(printable(piece), end="", highlight=False)
            self.console.out("", highlight=False)
            if found.was_cut:
                self._say(cut(fitted.n_answer), style="dim")
            answer = found.text
        if decided := speaker.decision(fitted):
            self._say(printable(decided), style="dim")
        self.turns.append((text, answer))

    def _question(self, text: str) -> None:
        self._last = self.ask(text)
        self._show(self._last)

    def _show(self, reply: Reply) -> None:
        """One reply at one threshold."""
        shown = dialled(reply.tuned, self.refusal, self.score, self.threshold, self.gate)
        at = "" if self.threshold is None else f", dial at {self.threshold:.4g}"
        table = Table(title=Text(printable(reply.question)), title_justify="left", expand=True)
        table.add_column("initial model", ratio=1)
        table.add_column(f"{self.method}{at}", ratio=1)
        table.add_row(Text(printable(reply.initial)), Text(printable(shown.answer)))
        self.console.print(table)
        self.console.print(bar(shown.score, self.threshold), highlight=False)
        self._say(shown.says)
        if shown.answer != reply.tuned.output:
            self._say(f"without the dial: {printable(reply.tuned.output)}", style="dim")

    def _say(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style=style), soft_wrap=True)


def _moved(command: str, threshold: float | None) -> float | None:
    """The threshold after a ``/threshold`` command. GraitError for one that cannot be read."""
    match command.split():
        case [_]:
            return threshold
        case [_, "off"]:
            return None
        case [_, text]:
            try:
                return check_threshold(float(text))
            except ValueError as error:
                raise GraitError(f"{command}: expected a number from 0 to 1, or off") from error
    raise GraitError(f"{command}: expected one number from 0 to 1, or off")
