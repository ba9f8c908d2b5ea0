"""The self-checks ask nothing of the network."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's library is imported, so before any script
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes: more threads than cores wait for each other
    os.environ["OMP_NUM_THREADS"] = "1"
