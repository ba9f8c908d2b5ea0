"""The terminal chat: a question in, the initial and the tuned answer side by side, the refusal score as a bar."""

from collections.abc import Callable, Iterable, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from grait.chat.reply import bar, dialled
from grait.dial.answers import Reply
from grait.dial.threshold import ScoreName, check_threshold
from grait.errors import GraitError

HELP = (
    "/threshold X   refuse above this refusal score: 0 refuses all, 1 nothing\n"
    "/threshold off no dial: the tuned model's own answer\n"
    "/threshold     what it is set to\n"
    "/quit          leave, as do Ctrl-D and Ctrl-C"
)


def typed_lines(console: Console) -> Iterator[str]:
    """Lines that are typed at a prompt, until Ctrl-D or Ctrl-C."""
    while True:
        try:
            yield console.input("[bold]question>[/bold] ")
        except (EOFError, KeyboardInterrupt):
            console.print()
            return


def chat(
    lines: Iterable[str],
    ask: Callable[[str], Reply],
    console: Console,
    *,
    method: str,
    refusal: str,
    score: ScoreName,
    threshold: float | None,
) -> None:
    """Answer each line until they end, or until ``/quit``; Ctrl-C while a model answers ends the chat, too.

    A line that begins with / is a command. What cannot be answered is one line, and the chat goes on.
    """
    last: Reply | None = None
    try:
        for line in lines:
            text = line.strip()
            if not text:
                continue
            if text == "/quit":
                return
            try:
                if text.split()[0] == "/threshold":
                    threshold = _moved(text, threshold)
                    console.print(f"threshold: {'off' if threshold is None else f'{threshold:.4g}'}", highlight=False)
                elif text.startswith("/"):
                    console.print(HELP, markup=False, highlight=False)
                    continue
                else:
                    last = ask(text)
            except GraitError as error:
                console.print(f"error: {error}", style="red", markup=False, highlight=False)
                continue
            if last is not None:
                show(console, last, method, refusal, score, threshold)
    except KeyboardInterrupt:
        console.print()


def show(console: Console, reply: Reply, method: str, refusal: str, score: ScoreName, threshold: float | None) -> None:
    """One reply at one threshold. Answers are text only: neither markup nor escape sequences in them do anything."""
    shown = dialled(reply.tuned, refusal, score, threshold)
    table = Table(title=Text(_printable(reply.question)), title_justify="left", expand=True)
    table.add_column("initial model", ratio=1)
    table.add_column(method if threshold is None else f"{method}, dial at {threshold:.4g}", ratio=1)
    table.add_row(Text(_printable(reply.initial)), Text(_printable(shown.answer)))
    console.print(table)
    console.print(bar(shown.score, threshold), highlight=False)
    console.print(shown.says, highlight=False, soft_wrap=True)
    if shown.answer != reply.tuned.output:
        console.print(Text(f"without the dial: {_printable(reply.tuned.output)}", style="dim"), soft_wrap=True)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in text)


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
