"""The page to try a model out: a conversation, and the trained form with a slider for the dial. Needs Gradio.

The page is served by this machine alone, for this machine unless told otherwise; nothing is counted, shared or fetched
from elsewhere.
"""

import html
import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from grait.chat.conversation import Speaker, Turn, cut, dial_note, dropped
from grait.chat.reply import bar, dialled, printable
from grait.dial.answers import Reply
from grait.dial.threshold import ScoreName, Setting, position, probability_at
from grait.errors import DialError, GraitError, reason
from grait.runtime.printable import well_formed

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
    speaker: Speaker | None,
    *,
    method: str,
    refusal: str,
    score: ScoreName,
    threshold: float | None,
    gate: float | None,
    examples: Sequence[str],
    shows_initial: bool = False,
) -> "gradio.Blocks":
    """The page, not yet served: a conversation, and a question in the trained form; only the latter without a speaker.
    ``threshold``: where the slider stands at first, None for the middle."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported, and again when a page is served
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import gradio as gr

    setting = Setting(score, MIDDLE if threshold is None else threshold, gate)
    with gr.Blocks(analytics_enabled=False, title="grait play") as blocks:
        if speaker is None:
            gr.Markdown("# Ask both models")
            _trained_form(ask, method, refusal, setting, examples)
        else:
            with gr.Tab("Chat"):
                _conversation(speaker, method, shows_initial)
            with gr.Tab("Question in the trained form"):
                _trained_form(ask, method, refusal, setting, examples)
    return blocks


def _conversation(speaker: Speaker, method: str, shows_initial: bool) -> None:
    """The chat of one visitor, whose turns are kept word for word beside what is shown."""
    import gradio as gr

    def talk(message: str, turns: list[Turn], with_initial: bool) -> Iterator[tuple[Any, ...]]:
        """New contents of turns, message box, conversation, the initial model's answer, and the line below."""
        if not message.strip():
            yield turns, message, _shown(turns), "", ""
            return
        message = well_formed(message)
        try:
            fitted = speaker.fit(turns, message)
            turns = turns[fitted.n_dropped :]
            said = dropped(fitted.n_dropped) if fitted.n_dropped else ""
            initial = ""
            for piece in speaker.answer(fitted, by_initial=True) if with_initial else ():
                initial += piece
                yield turns, "", _shown([*turns, (message, "")]), printable(initial), said
            answer, so_far = speaker.answer(fitted), ""
            for piece in answer:
                so_far += piece
                yield turns, "", _shown([*turns, (message, so_far)]), printable(initial), said
        except GraitError as error:
            raise gr.Error(str(error), print_exception=False) from error
        turns = [*turns, (message, answer.text)]
        said = cut(fitted.n_answer) if answer.was_cut else said
        yield turns, "", _shown(turns), printable(initial), said
        if decided := speaker.decision(fitted):
            said = "\n".join([*([said] if said else []), printable(decided)])
            yield turns, "", _shown(turns), printable(initial), said

    turns = gr.State([])
    gr.Markdown(f"Any message. {dial_note(speaker)}")
    with gr.Row():
        shown = gr.Chatbot(label=method, elem_id="conversation", render_markdown=False, buttons=[], scale=2)
        initial = gr.Textbox(
            label="Initial model, to the same conversation",
            elem_id="initial-answer",
            interactive=False,
            lines=8,
            visible=shows_initial,
        )
    said = gr.Textbox(show_label=False, container=False, elem_id="said", interactive=False, lines=2)
    message = gr.Textbox(label="Message", elem_id="message", lines=1)
    with gr.Row():
        send = gr.Button("Send", elem_id="send")
        new = gr.Button("New conversation", elem_id="new")
        with_initial = gr.Checkbox(shows_initial, label="Initial model beside it", elem_id="with-initial")
    outputs = [turns, message, shown, initial, said]
    asking = [
        ask_now(talk, [message, turns, with_initial], outputs, api_visibility="private")
        for ask_now in (send.click, message.submit)
    ]
    for begin_anew in (new.click, shown.clear):
        begin_anew(lambda: ([], "", [], "", ""), None, outputs, cancels=asking, api_visibility="private")
    with_initial.change(
        lambda shows: gr.update(visible=shows), with_initial, initial, show_progress="hidden", api_visibility="private"
    )


def _shown(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """Turns as the chat box takes them: it shows HTML, so that all marks are escaped."""
    return [
        {"role": role, "content": html.escape(printable(text), quote=False)}
        for turn in turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]


def _trained_form(
    ask: Callable[[str], Reply], method: str, refusal: str, setting: Setting, examples: Sequence[str]
) -> None:
    """A question, both answers, and the dial's slider.

    The slider chooses between answers that are there already, so that moving it asks no model. Where it stands at first
    it means the threshold of ``setting`` exactly, elsewhere what ``threshold_at`` says.
    """
    import gradio as gr

    score, first, gate = setting

    def meant(slider: float) -> float:
        return first if slider == slider_at(first) else threshold_at(slider)

    def answer(question: str, slider: float) -> tuple[Any, ...]:
        if not question.strip():
            return (None, *shown(None, slider))
        try:
            reply = ask(well_formed(question))
        except GraitError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return (reply, *shown(reply, slider))

    def shown(reply: Reply | None, slider: float) -> tuple[str, str, str, str]:
        if reply is None:
            return "", "", "", f"Threshold {meant(slider):.4g}"
        now = dialled(reply.tuned, refusal, score, meant(slider), gate)
        return reply.initial, now.answer, reply.tuned.output, f"{bar(now.score, meant(slider))}\n{now.says}"

    reply = gr.State(None)
    question = gr.Textbox(label="Question", elem_id="question", lines=1)
    button = gr.Button("Ask", elem_id="ask")
    with gr.Row():
        initial = gr.Textbox(label="Initial model", elem_id="initial", interactive=False)
        tuned = gr.Textbox(label=f"{method} with the dial", elem_id="tuned", interactive=False)
        free = gr.Textbox(label=f"{method} without the dial", elem_id="free", interactive=False)
    dial = gr.Slider(
        0, 100, value=slider_at(first), step=0.1, label="Refuse more (right) or less (left)", elem_id="dial"
    )
    why = gr.Textbox(label="Refusal score", elem_id="score", interactive=False, lines=2)
    if examples:
        gr.Examples([[text] for text in examples], inputs=[question], cache_examples=False)
    outputs = [initial, tuned, free, why]
    for ask_now in (button.click, question.submit):
        ask_now(answer, [question, dial], [reply, *outputs], api_visibility="private")
    dial.change(shown, [reply, dial], outputs, show_progress="hidden", api_visibility="private")


def start(blocks: "gradio.Blocks", host: str, port: int | None) -> str:
    """Serve the page in the background; returns its address. ``port``: None for the first free one from 7860. Raises
    DialError when nothing can be served there. ``blocks.block_thread()`` waits for Ctrl-C."""
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
