"""Which method is best as trained?

``python -m research.which_method.compare KEPT OUT`` writes OUT/compare.md and OUT/compare.json from kept answers, as
``grait compare`` does for every system that all seeds have: means over the seeds, paired 95% intervals. With
``--seeds 0,2`` only these seeds, which may have more systems in common.
"""

import argparse
from pathlib import Path

from research.answers import add_seeds_option, read_seeds, write_comparison


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kept", type=Path)
    parser.add_argument("out", type=Path)
    add_seeds_option(parser)
    arguments = parser.parse_args()
    write_comparison(read_seeds(arguments.kept, arguments.seeds), arguments.kept, arguments.out)


if __name__ == "__main__":
    main()
