#!/usr/bin/env bash
# Trains `shakespeare`: two models learn from the text, a third from both, a fourth from all three.
# Runs from anywhere, as bash checkpoints/train-shakespeare.sh; killed, it goes on when run again.
set -euo pipefail
cd "$(dirname "$0")/.."

train() { # NAME FLAG...
  local name=$1
  if [ -e "checkpoints/$name/resume/state.json" ]; then
    .venv/bin/python train.py --resume --name "$name"
  else
    .venv/bin/python train.py --preset best --name "$@"
  fi
}

best=checkpoints/best
train best-1
train best-2 --seed 1
train best-3 --dropout 0.1 --steps 4000 --teacher $best-1,$best-2
train best-4 --seed 2 --dropout 0.1 --steps 3500 --teacher $best-1,$best-2,$best-3
