"""Serve the page: `python app.py`."""

import argparse
import os
import sys
from pathlib import Path

from charlm.config import CharlmError
from charlm.limits import Limits
from charlm.ui import build, look

CHECKPOINTS = Path(__file__).parent / "checkpoints"


def main():
    """Serve until stopped; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model",
        default=os.environ.get("CHARLM_MODEL"),
        help="model directory to start with (default: $CHARLM_MODEL, else the best bundled one)",
    )
    parser.add_argument("--share", action="store_true", help="make a link that others can open")
    args = parser.parse_args()
    try:
        limits = Limits.from_environment()
        page = build(CHECKPOINTS, args.model, limits)
    except CharlmError as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 2
    page.launch(
        share=args.share or None,
        footer_links=["api", "settings"],
        run_history=False,
        enable_monitoring=False,
        max_file_size=4 * limits.max_text,  # what is a little too large is told at its field
        **look(),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
