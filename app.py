"""Serve the page: `python app.py`. Or deploy it as a Hugging Face Space: `app.py --deploy`."""

import argparse
import os
import sys
from pathlib import Path

from charlm.console import protect_output
from charlm.errors import CharlmError
from charlm.hub.client import HubError
from charlm.hub.pull import disable_telemetry
from charlm.hub.space import deploy
from charlm.paths import checkpoints_directory
from charlm.serving.environment import address_error, prepare_environment
from charlm.serving.limits import Limits

HERE = Path(__file__).parent


def main():
    """Serve the page until stopped, or deploy it; returns the exit status."""
    protect_output()
    args = parse_arguments()
    disable_telemetry()
    try:
        prepare_environment()
        from charlm.ui import build, launch_arguments  # imports gradio

        if args.deploy is not None:
            print(f"deployed to {deploy(HERE, args.deploy, args.model, args.private)}")
            return 0
        limits = Limits.from_environment()
        checkpoints = checkpoints_directory(HERE)
        page = build(checkpoints, args.model, limits, HERE / "train.py")
    except CharlmError as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 1 if isinstance(error, HubError) else 2
    try:
        page.launch(share=args.share or None, **launch_arguments(page, limits))
    except (OSError, OverflowError):
        print(f"app.py: {address_error()}", file=sys.stderr)
        return 1
    return 0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model",
        default=os.environ.get("CHARLM_MODEL"),
        help="model directory, or user/repo on the Hugging Face Hub, to start with (default:"
        " $CHARLM_MODEL, else the best bundled one)",
    )
    parser.add_argument("--share", action="store_true", help="make a link that others can open")
    parser.add_argument(
        "--deploy",
        metavar="SPACE_ID",
        nargs="?",
        const="",
        help="make or update a Space that serves this page (default: the logged-in user's charlm)",
    )
    parser.add_argument(
        "--private", action="store_true", default=None, help="make the Space private"
    )
    args = parser.parse_args()
    if args.private and args.deploy is None:
        parser.error("--private needs --deploy")
    return args


if __name__ == "__main__":
    sys.exit(main())
