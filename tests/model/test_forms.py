"""Forms: what a question looks like in each, and which forms a config may name."""

from typing import Any

import pytest
from tiny import tiny_tokenizer

from grait.config import PromptConfig, parse_config
from grait.errors import ConfigError, ModelError
from grait.model.forms import form_key, forms_of
from grait.model.prompts import PromptFormat
from grait.records import Question

QUESTION = Question("q", "What is the capital of France?", ("Paris",))
WITH_OPTIONS = Question("o", "Which is red?", ("blood",), ("milk", "blood"))
SHOT = Question("s", "What is the capital of Italy?", ("Rome",))
ALL = ["examples", "instruction", "question", "assistant", "plain", "short"]
OWN = {"name": "polite", "template": "Please: {question} Or else: {refusal}", "system": "Be {brief}."}


def prompts_of(forms: list[Any], chat: bool = True, **changes: Any) -> PromptFormat:
    config = PromptConfig(forms=forms, **changes)
    return PromptFormat(tiny_tokenizer(chat=chat), config, shots=(SHOT,))


@pytest.mark.parametrize("answer", ["Paris", "I don't know.", "The capital of France is Paris."])
def test_prompt_and_completion_are_the_text_in_every_form(answer: str) -> None:
    prompts = prompts_of([*ALL, OWN])
    for form in prompts.forms:
        prompt = prompts.prompt(QUESTION, "refuse", form)
        completion = prompts.completion(prompt, answer)
        assert prompt.text.count("What is the capital of France?") == 1
        assert completion.text == (answer if prompt.is_chat else f" {answer}")
        assert completion.token_ids[-1] in prompts.end_token_ids(prompt.is_chat)
        tokens = [*prompt.token_ids, *completion.token_ids[:-1]]
        assert prompts.tokenizer.decode(tokens) == prompt.text + completion.text
        assert prompt.is_chat == form.is_chat == prompts.is_chat(QUESTION, form)


def test_each_form_has_its_words() -> None:
    prompts = prompts_of([*ALL, OWN])
    texts = {form.name: prompts.prompt(QUESTION, "refuse", form).text for form in prompts.forms}
    bare = "<|user|>What is the capital of France?<|end|><|assistant|>"
    assert texts["question"] == bare
    assert texts["assistant"] == f"<|system|>You are a helpful assistant.<|end|>{bare}"
    assert texts["plain"] == "Q: What is the capital of France?\nA:"
    assert texts["short"].startswith('<|user|>Give a short answer, or say "I don\'t know." if you do not know.\n\nWhat')
    assert texts["polite"] == (
        "<|system|>Be {brief}.<|end|><|user|>Please: What is the capital of France? Or else: I don't know.<|end|>"
        "<|assistant|>"
    )
    assert "Rome" in texts["examples"] and sum("Rome" in text for text in texts.values()) == 1
    for form in prompts.forms:
        asked = prompts.prompt(WITH_OPTIONS, "refuse", form).text
        assert "Which is red?\nA. milk\nB. blood" in asked


@pytest.mark.parametrize("style", ["plain", "chat"])
@pytest.mark.parametrize(("shots_in", "name"), [("all", "examples"), ("query", "instruction")])
def test_the_form_of_before_is_one_of_the_built_in_ones(style: Any, shots_in: Any, name: str) -> None:
    before = PromptConfig(shots_in=shots_in, shots_style=style)
    named = PromptConfig(forms=[name], shots_style=style)
    old, new = (PromptFormat(tiny_tokenizer(chat=True), config, shots=(SHOT,)) for config in (before, named))
    for family in ("basic", "refuse"):
        assert old.prompt(QUESTION, family) == new.prompt(QUESTION, family)
        assert old.messages(QUESTION, family) == new.messages(QUESTION, family)
    assert forms_of(before) == forms_of(named)
    assert before.wording == named.wording and not form_key(*forms_of(named))
    assert before.shows_examples == named.shows_examples == old.shows_shots("refuse") == new.shows_shots("refuse")


def test_the_first_form_is_the_main_one() -> None:
    prompts = prompts_of(["question", "plain"])
    assert prompts.prompt(QUESTION, "refuse") == prompts.prompt(QUESTION, "basic", prompts.forms[0])
    assert prompts.query(QUESTION) == prompts_of([]).query(QUESTION)


def test_own_words_are_taught_where_the_form_leaves_the_manner_to_the_model() -> None:
    own = {
        form.name: form.own_words
        for form in prompts_of([*ALL, OWN, OWN | {"name": "b", "chat": False, "system": None}]).forms
    }
    asked = {"question": "question", "assistant": "question"}
    assert own == asked | dict.fromkeys(("instruction", "short", "polite", "examples", "plain", "b"))
    bare = [form.name for form in prompts_of([*ALL, OWN]).forms if form.is_bare_chat]
    assert bare == ["question"]


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("chatty", "prompt.forms.0 = 'chatty': 'chatty' is no built-in form (examples, "),
        ({"name": "a"}, "'a' is no built-in form"),
        ({"name": "a b", "template": "{question}"}, "prompt.forms.0.name = 'a b': should be a name of at most 60"),
        ({"name": "all", "template": "{question}"}, "and not 'all'"),
        ({"name": "plain", "template": "{question}"}, "'plain' is a built-in form: give your own another name"),
        ({"name": "a", "template": "Well?"}, "prompt.forms.0.template = 'Well?': should hold {question} exactly once"),
        ({"name": "a", "template": "{question}{question}"}, "should hold {question} exactly once"),
        ({"name": "a", "template": "{question} {}"}, "{} is no field of a template"),
        ({"name": "a", "template": "{question.id}"}, "{question.id} is no field"),
        ({"name": "a", "template": "{question!r}"}, "is no field"),
        ({"name": "a", "template": "{question:>9}"}, "is no field"),
        ({"name": "a", "template": "{question} {"}, "should be a template; write {{ and }} for braces"),
        ({"name": "a", "template": "{question}", "chat": False, "system": "Hi."}, "has no system message"),
        ({"name": "a", "template": "{question}", "role": 1}, "prompt.forms.0.role: unknown key; allowed: chat, name"),
        (3, "prompt.forms.0 = 3: should be"),
    ],
)
def test_a_form_that_cannot_be_is_one_line(form: Any, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config({"prompt": {"forms": [form]}})
    assert says in str(error.value) and "\n" not in str(error.value)


def test_forms_that_do_not_go_together_are_one_line() -> None:
    with pytest.raises(ConfigError, match="two forms are called 'question'"):
        parse_config({"prompt": {"forms": ["question", "question"]}})
    with pytest.raises(ConfigError, match="'examples' shows solved examples, and n_shots = 0 leaves none"):
        parse_config({"prompt": {"forms": ["examples"], "n_shots": 0}})
    with pytest.raises(ModelError, match=r"prompt\.forms: question, short: the model's tokenizer has no chat template"):
        prompts_of(["plain", "question", "short"], chat=False)
    prompts_of(["examples", "plain"], chat=False)


def test_forms_are_read_back_from_a_finished_run() -> None:
    config = parse_config({"prompt": {"forms": [*ALL, OWN]}})
    assert parse_config(config.model_dump()) == config
