"""grait calibrate, chat and play."""

import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from grait.cli.options import Method, Run, Threshold, data_set, interruptible
from grait.errors import ConfigError


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
            "default: WorldFacts' val where the run is on WorldFacts."
        ),
    ] = None,
    score: Annotated[
        str,
        typer.Option(
            help="Of the whole answer: answer, or text (refusal against answer); first-token: for a logits processor."
        ),
    ] = "answer",
) -> None:
    """Set the refusal dial of a finished run: the threshold that keeps a promise, without training again.

    Give one of --max-over-refusal, --max-wrong and --max-ths. The threshold is chosen on questions that the run has not
    seen and stored as refusal_dial.json beside the adapter, for grait chat, grait play and grait.dial.RefusalDial.
    """
    from typing import cast, get_args

    from grait.commands.calibrate import calibrate as calibrate_run
    from grait.dial.threshold import ScoreName
    from grait.display.tables import metrics_table

    if score not in get_args(ScoreName):
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
            score=cast(ScoreName, score),
        )
    console = Console(soft_wrap=True, highlight=False)
    console.print(metrics_table(result.metrics))
    for line in dial_lines(result.dial):
        console.print(line, markup=False)
    console.print(f"Stored in {result.file}", markup=False)


def dial_lines(dial: Any) -> list[str]:
    """The threshold and what it promises."""
    lines = [
        f"Threshold {dial.threshold:.6g} on the {dial.score} score, chosen on {dial.n} questions ({dial.data.title})."
    ]
    if dial.guarantee is None:
        return [
            *lines,
            "It lies where THS is highest on these questions, so expect a little less on new ones.",
        ]
    counted = "questions that the initial model answers right" if dial.target == "over_refusal" else "questions"
    verb = "refused" if dial.target == "over_refusal" else "answered wrong"
    return [
        *lines,
        f"{dial.hits} of {dial.trials} {counted} are {verb}: at most {dial.upper_bound:.1%} by the exact bound.",
        dial.guarantee,
    ]


def chat(run: Run, method: Method = None, threshold: Threshold = None) -> None:
    """Ask a run's initial and tuned model side by side, in the terminal; /threshold moves the refusal dial.

    Questions may also be piped in, one a line.
    """
    from grait.chat import terminal
    from grait.commands.finished import live

    console = Console(highlight=False)
    with live(run, method, threshold) as model:
        is_typed = sys.stdin.isatty()
        if is_typed:
            console.print("Ask a question; /threshold X moves the refusal dial, /help says more, Ctrl-D leaves.")
        terminal.chat(
            terminal.typed_lines(console) if is_typed else sys.stdin,
            model.ask,
            console,
            method=model.method,
            refusal=model.refusal,
            score=model.score,
            threshold=model.threshold,
        )


def play(
    run: Run,
    method: Method = None,
    threshold: Threshold = None,
    host: Annotated[str, typer.Option(help="Address to serve at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Default: the first free one from 7860.")] = None,
) -> None:
    """Try a run's initial and tuned model in the browser, with a slider for the refusal dial. Needs the extra play."""
    from grait.chat.page import check_gradio, page, start
    from grait.commands.finished import live

    check_gradio()
    with live(run, method, threshold) as model:
        blocks = page(
            model.ask,
            method=model.method,
            refusal=model.refusal,
            score=model.score,
            threshold=model.threshold,
            examples=model.examples(6),
        )
        print(f"Open {start(blocks, host, port)} in a browser; Ctrl-C ends.", flush=True)
        blocks.block_thread()
