"""Other programs that compute gradients for data selection, timed on the model, adapter and examples of our benchmarks.

Each peer runs in an environment of its own, as a subprocess; none of its code is here. To make the environments:

LESS (princeton-nlp/LESS), whose own ``collect_grads`` runs from a checkout, unchanged::

    git clone https://github.com/princeton-nlp/LESS less
    python3.11 -m venv less-venv
    less-venv/bin/pip install -c constraints.txt torch numpy transformers peft accelerate
    less-venv/bin/pip install --no-deps traker

bergson (EleutherAI)::

    python3.11 -m venv bergson-venv
    bergson-venv/bin/pip install -c constraints.txt torch
    bergson-venv/bin/pip install -c constraints.txt bergson
    bergson-venv/bin/pip uninstall --yes torchvision torchaudio

The last line is for machines without a GPU: the torchvision that bergson asks for is built for CUDA, bergson never
imports it, but transformers does when it is there, and fails beside a CPU build of torch. In both environments torch
comes first so that a CPU build stays.

``run.peer_record`` starts a peer and reads its record.
"""
