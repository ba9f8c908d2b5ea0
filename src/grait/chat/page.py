"""The page to try a model out: a question, both answers, and a slider for the dial. Needs Gradio (extra ``play``).

The page is served by this machine alone, for this machine unless told otherwise; nothing is counted, shared or fetched
from elsewhere.
"""

import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from grait.chat.reply import bar, dialled
from grait.dial.answers import Reply
from grait.dial.threshold import ScoreName, position, probability_at
from grait.errors import DialError, GraitError, reason

if TYPE_CHECKING:
    import gradio

MIDDLE = 0.5


def check_gradio() -> None:
    """DialError with one line when Gradio is not installed."""
    if importlib.util.find_spec("gradio") is None:
        raise DialError("grait play needs Gradio: pip install 'grait[play]'")


def slider_at(threshold: float) -> float:
    """Where the slider stands for a threshold, 0 to 100; further right refuses more."""
    return round(100 * (1 - position(threshold)), 1)


def threshold_at(slider: float) -> float:
    """The threshold of a place of the slider: 1 (refuse nothing) at 0, 0 (refuse all) at 100."""
    return probability_at(1 - slider / 100)


def page(
    ask: Callable[[str], Reply],
    *,
    method: str,
    refusal: str,
    score: ScoreName,
    threshold: float | None,
    examples: Sequence[str],
) -> "gradio.Blocks":
    """The page, not yet served. ``threshold``: where the slider stands at first, None for the middle.

    The slider chooses between answers that are there already, so that moving it asks no model. Where it stands at first
    it means ``threshold`` exactly, elsewhere what ``threshold_at`` says.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported, and again when a page is served
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import gradio as gr

    first = MIDDLE if threshold is None else threshold

    def meant(slider: float) -> float:
        return first if slider == slider_at(first) else threshold_at(slider)

    def answer(question: str, slider: float) -> tuple[Any, ...]:
        if not question.strip():
            return (None, *shown(None, slider))
        try:
            reply = ask(question)
        except GraitError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return (reply, *shown(reply, slider))

    def shown(reply: Reply | None, slider: float) -> tuple[str, str, str, str]:
        if reply is None:
            return "", "", "", f"Threshold {meant(slider):.4g}"
        now = dialled(reply.tuned, refusal, score, meant(slider))
        return reply.initial, now.answer, reply.tuned.output, f"{bar(now.score, meant(slider))}\n{now.says}"

    with gr.Blocks(analytics_enabled=False, title="grait play") as blocks:
        gr.Markdown("# Ask both models")
        reply = gr.State(None)
        question = gr.Textbox(label="Question", elem_id="question", lines=1)
        button = gr.Button("Ask", elem_id="ask")
        with gr.Row():
            initial = gr.Textbox(label="Initial model", elem_id="initial", interactive=False)
            tuned = gr.Textbox(label=f"{method} with the dial", elem_id="tuned", interactive=False)
            free = gr.Textbox(label=f"{method} without the dial", elem_id="free", interactive=False)
        dial = gr.Slider(
            0,
            100,
            value=slider_at(first),
            step=0.1,
            label="Refuse more (right) or less (left)",
            elem_id="dial",
        )
        why = gr.Textbox(label="Refusal score", elem_id="score", interactive=False, lines=2)
        if examples:
            gr.Examples([[text] for text in examples], inputs=[question], cache_examples=False)
        outputs = [initial, tuned, free, why]
        for ask_now in (button.click, question.submit):
            ask_now(answer, [question, dial], [reply, *outputs], api_visibility="private")
        dial.change(shown, [reply, dial], outputs, show_progress="hidden", api_visibility="private")
    return blocks


def start(blocks: "gradio.Blocks", host: str, port: int | None) -> str:
    """Serve the page in the background; returns its address. ``port``: None for the first free one from 7860.

    Raises DialError when nothing can be served there. ``blocks.block_thread()`` waits for Ctrl-C.
    """
    import gradio as gr

    try:
        _, address, _ = blocks.launch(
            server_name=host,
            server_port=port,
            share=False,
            enable_monitoring=False,
            inbrowser=False,
            prevent_thread_lock=True,
            quiet=True,
            footer_links=[],
            theme=gr.themes.Base(font="system-ui", font_mono="monospace"),
        )
    except OSError as error:
        place = f"{host}:{port}" if port else host
        raise DialError(f"{place}: cannot serve there ({reason(error)}); choose another --port") from error
    return str(address)
