"""grait calibrate, chat and play."""

import io
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from grait.cli.options import BaseUrl, Method, Run, ServedModel, Threshold, data_set, interruptible, server_address
from grait.errors import ConfigError

Forms = Annotated[
    list[str] | None,
    typer.Option("--form", help="Form of the run whose dial is set, may be repeated; default: all of them."),
]


def calibrate(
    run: Run,
    *,
    max_over_refusal: Annotated[
        float | None, typer.Option(help="Largest share refused of what the initial model answers right, such as 0.05.")
    ] = None,
    max_wrong: Annotated[float | None, typer.Option(help="Largest share of wrong answers, such as 0.10.")] = None,
    max_ths: Annotated[bool, typer.Option("--max-ths", help="The highest THS; promises nothing.")] = False,
    confidence: Annotated[float, typer.Option(help="With which the share holds on new questions.")] = 0.9,
    method: Method = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Calibration questions: a file, or as in a config, such as '{path: worldfacts, split: val}'; "
            "default: those that the run put aside, else WorldFacts' val where it is on that, else those of the run."
        ),
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(
            help="Of the whole answer: answer, answer-mean (by token), combined (with the refusal's odds), or text "
            "(refusal against answer); twice: of a question that is asked again after solved examples; first-token: "
            "for a logits processor. Default: docs/dial.md has it by form."
        ),
    ] = None,
    forms: Forms = None,
    base_url: BaseUrl = None,
    served_model: ServedModel = None,
) -> None:
    """Set the refusal dials of a finished run: the thresholds that keep a promise, without training again.

    Give one of --max-over-refusal, --max-wrong and --max-ths. Each form's threshold is chosen on questions that the run
    has not seen and stored as refusal_dial.json beside the adapter, for grait chat, grait play and
    grait.dial.RefusalDial.
    """
    from typing import cast, get_args

    from grait.commands.calibrate import calibrate as calibrate_run
    from grait.dial.threshold import ScoreName

    if score is not None and score not in get_args(ScoreName):
        raise ConfigError(f"--score {score}: expected {' or '.join(get_args(ScoreName))}")
    with interruptible():
        result = calibrate_run(
            run,
            max_over_refusal=max_over_refusal,
            max_wrong=max_wrong,
            max_ths=max_ths,
            confidence=confidence,
            method=method,
            data=None if data is None else data_set(data),
            score=cast(ScoreName | None, score),
            forms=forms,
            address=server_address("--base-url", base_url, served_model),
        )
    _print_calibration(result)


def _print_calibration(result: Any) -> None:
    from grait.display.tables import metrics_table

    console = Console(soft_wrap=True, highlight=False)
    has_one = len(result.forms) + len(result.failed) == 1
    for name, found in result.forms.items():
        console.print(metrics_table(found.metrics, "Results" if has_one else f"Form {name}: results"))
    for name, found in result.forms.items():
        console.print(("" if has_one else f"{name}: ") + " ".join(dial_lines(found.dial)), markup=False)
    for name, why in result.failed.items():
        console.print(f"{name}: no dial: {why}", markup=False)
    console.print(f"Stored in {result.file}", markup=False)


def dial_lines(dial: Any) -> list[str]:
    """The threshold, what its gate leaves alone, and what it promises."""
    lines = [
        f"Threshold {dial.threshold:.6g} on the {dial.score} score, chosen on {dial.n} questions ({dial.data.title})."
    ]
    lines += [line for line in (dial.unanswerable_line, dial.gate_line) if line]
    if dial.guarantee is None:
        return [*lines, "It lies where THS is highest on these questions, so expect a little less on new ones."]
    counted = "questions that the initial model answers right" if dial.target == "over_refusal" else "questions"
    verb = "refused" if dial.target == "over_refusal" else "answered wrong"
    return [
        *lines,
        f"{dial.hits} of {dial.trials} {counted} are {verb}: at most {dial.upper_bound:.1%} by the exact bound.",
        dial.guarantee,
    ]


Form = Annotated[
    str,
    typer.Option(
        "--form",
        help="chat: any message, with the conversation so far, in the model's chat template. trained: each line is one "
        "question in the run's trained form, to both models, with the refusal dial; models without a chat template "
        "have this form only.",
    ),
]
System = Annotated[
    str | None, typer.Option("--system", help="System message of the conversation; default: that of the template.")
]
NewTokens = Annotated[int, typer.Option("--max-new-tokens", min=1, help="Longest answer of the conversation.")]
MAX_NEW_TOKENS = 256


def chat(
    run: Run,
    method: Method = None,
    threshold: Threshold = None,
    *,
    form: Form = "chat",
    system: System = None,
    max_new_tokens: NewTokens = MAX_NEW_TOKENS,
    compare: Annotated[bool, typer.Option("--compare", help="Show the initial model's answer, too.")] = False,
) -> None:
    """Talk to a run's tuned model in the terminal.

    Any message, with the conversation so far; answers are greedy and appear as they come. /help shows the commands,
    such as /question TEXT, which asks in the run's trained form with the refusal dial. Messages may also be piped in,
    one a line: each is printed after "you> ", its answer after the method's name.
    """
    from grait.chat.terminal import Chat, typed_lines
    from grait.commands.finished import live

    _check(form, system)
    console = Console(highlight=False)
    with live(run, method, threshold) as model:
        is_typed = sys.stdin.isatty()
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="surrogateescape")  # a byte that is no UTF-8 ends no chat
        talking = Chat(
            console,
            model.ask,
            _speaker(model, form, system, max_new_tokens),
            **_settings(model, compare),
            echoes=not is_typed,
        )
        if is_typed:
            console.print("Say something; /help shows the commands, Ctrl-D leaves.")
        talking.talk(typed_lines(console) if is_typed else sys.stdin)


def play(
    run: Run,
    method: Method = None,
    threshold: Threshold = None,
    *,
    form: Form = "chat",
    system: System = None,
    max_new_tokens: NewTokens = MAX_NEW_TOKENS,
    compare: Annotated[bool, typer.Option("--compare", help="Begin with the initial model's answers shown.")] = False,
    host: Annotated[str, typer.Option(help="Address to serve at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Default: the first free one from 7860.")] = None,
) -> None:
    """Talk to a run's tuned model in the browser; in a second tab ask in the trained form, with the dial's slider.

    Needs the extra play.
    """
    from grait.chat.page import check_gradio, page, start
    from grait.commands.finished import live

    check_gradio()
    _check(form, system)
    with live(run, method, threshold) as model:
        blocks = page(
            model.ask,
            _speaker(model, form, system, max_new_tokens),
            **_settings(model, compare),
            examples=model.examples(6),
        )
        print(f"Open {start(blocks, host, port)} in a browser; Ctrl-C ends.", flush=True)
        blocks.block_thread()


def _settings(model: Any, shows_initial: bool) -> dict[str, Any]:
    """What terminal and page are told alike."""
    told = {name: getattr(model, name) for name in ("method", "refusal", "score", "threshold", "gate")}
    return told | {"shows_initial": shows_initial}


def _check(form: str, system: str | None) -> None:
    if form not in ("chat", "trained"):
        raise ConfigError(f"--form {form}: expected chat or trained")
    if form == "trained" and system is not None:
        raise ConfigError("--system goes with --form chat; the trained form has the run's own (prompt.system)")


def _speaker(model: Any, form: str, system: str | None, max_new_tokens: int) -> Any:
    """For free conversation, or None for the trained form only; says on stderr what to know of it."""
    from grait.chat.conversation import Speaker, dial_note
    from grait.runtime.progress import note

    if form == "trained":
        return None
    if not model.has_chat and system is None:
        note("the model has no chat template: every line is one question in the trained form, without history")
        return None
    speaker = Speaker(model, system, max_new_tokens)
    note("a free conversation; the adapter learned to refuse in its trained form, in which /question TEXT asks")
    if model.dials:
        note(dial_note(speaker))
    return speaker
