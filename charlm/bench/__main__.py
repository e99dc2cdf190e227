"""The command line of the measurements."""

import argparse
import json
import sys

from charlm import bench
from charlm.bench.beside import bench_beside
from charlm.bench.generating import bench_generate
from charlm.bench.training import ABLATIONS, bench_ablation, bench_train, lecture_seconds
from charlm.errors import CharlmError
from charlm.presets import PRESETS


def main():
    """Run the benchmark that the command line names; return the exit status."""
    args = parse_arguments()
    measure = {
        "train": lambda: bench_train(args.data, args.steps, args.presets),
        "lecture": lambda: print(json.dumps(lecture_seconds(args.data, args.steps))),
        "ablation": lambda: bench_ablation(args.data, ABLATIONS),
        "beside": lambda: bench_beside(args.data),
        "generate": lambda: bench_generate(args.chars, args.streams),
        "serve": lambda: serve(args),
        "hostile": hostile,
    }
    try:
        measure[args.what]()
    except CharlmError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return 0


# these two import gradio, which would count as memory of the lecture's code


def serve(args):
    from charlm.bench.serving import bench_serve

    bench_serve(args.chars, args.visitors)


def hostile():
    from charlm.bench.hostile import bench_hostile

    bench_hostile()


def parse_arguments():
    parser = argparse.ArgumentParser(prog="python -m charlm.bench", description=bench.__doc__)
    what = parser.add_subparsers(dest="what", required=True)
    helps = {
        "train": "training: the lecture's code and the presets",
        "lecture": "seconds of each of some training steps of the lecture's code",
        "ablation": "training: `fast` without each of its ingredients",
        "beside": "generation and training at once, as on the page",
        "generate": "generation: one stream and many, the lecture's code and transformers",
        "serve": "the page: its start, and many visitors at once",
        "hostile": "the page: an honest visitor beside hostile ones, and what attacks leave",
    }
    commands = {name: what.add_parser(name, help=text) for name, text in helps.items()}
    for name in ("train", "lecture", "ablation", "beside"):
        note = "the text (default: as for train.py)"
        commands[name].add_argument("--data", metavar="FILE", help=note)
    for name in ("train", "lecture"):
        note = "steps to time (default: 20)"
        commands[name].add_argument("--steps", type=int, default=20, help=note)
    commands["train"].add_argument("--presets", nargs="+", choices=PRESETS, default=list(PRESETS))
    for name, chars in (("generate", 500), ("serve", 300)):
        note = f"characters of each text (default: {chars})"
        commands[name].add_argument("--chars", type=int, default=chars, help=note)
    many = {"type": int, "nargs": "+", "metavar": "N"}
    commands["generate"].add_argument("--streams", default=[1, 8, 32, 64, 128], **many)
    commands["serve"].add_argument("--visitors", default=[1, 10, 50, 100, 200], **many)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
