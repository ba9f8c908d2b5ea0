"""What a run takes where no config file is given: the settings that a person who tries their own questions wants."""

from typing import Any

from grait.config import ModelConfig
from grait.errors import ModelError
from grait.model.load import read_tokenizer

CHAT_FORMS = ("question", "examples", "instruction", "plain")
"""As people ask in a chat; then after solved examples, with an instruction, and as plain text."""
PLAIN_FORMS = ("examples", "plain")


def recipe(model: ModelConfig) -> dict[str, Any]:
    """Sections of a config tree: the forms that this model can be asked in, and replay.

    Of a model whose tokenizer cannot be read the chat forms are assumed; the run says what is wrong with it.
    """
    try:
        is_chat = bool(read_tokenizer(model).chat_template)
    except ModelError:
        is_chat = True
    return {"prompt": {"forms": list(CHAT_FORMS if is_chat else PLAIN_FORMS)}, "replay": {"path": "builtin"}}
