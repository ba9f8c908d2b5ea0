"""What holds for all tests: nothing is asked of the network."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's library is imported, so before any test module
