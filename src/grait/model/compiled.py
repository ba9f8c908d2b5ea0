"""torch.compile for training (``model.compile``).

The head is not compiled: hooks give it other inputs, which compiled code may leave out in silence. Nor are gradients of
single examples, which hooks read. Nor is inference: its attention to a shared prefix breaks the graph in every layer,
and is compiled again and again until torch gives up.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import PeftModel
from torch._dynamo.exc import TorchDynamoException

from grait.errors import ModelError, reason


@contextmanager
def compiled(model: PeftModel) -> Iterator[None]:
    """Within this context the model's layers run compiled, from the first batch on; afterwards as before. Raises
    ModelError with one line when torch cannot compile them, such as without a C++ compiler."""
    decoder = model.get_base_model().get_decoder()
    decoder.compile(dynamic=True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The .grad attribute of a Tensor")  # torch looks at a shared prefix's
            yield
    except TorchDynamoException as error:
        raise ModelError(f"model.compile = true: torch cannot compile this model: {reason(error)}") from error
    finally:
        decoder._compiled_call_impl = None
        torch.compiler.reset()  # the next adapter's layers are others


def is_compiled(model: PeftModel) -> bool:
    """Whether the model's layers run compiled now."""
    return model.get_base_model().get_decoder()._compiled_call_impl is not None
