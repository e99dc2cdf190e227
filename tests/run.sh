#!/usr/bin/env bash
# Installs what the tests need, a Chromium included, and runs them all: bash tests/run.sh
# Arguments go to pytest. Everything but Chromium goes into .venv/ here.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null &&
  ! command -v google-chrome >/dev/null; then
  as_root=$([ "$(id -u)" = 0 ] || echo sudo)
  $as_root apt-get update -q
  $as_root apt-get install -q -y --no-install-recommends chromium
fi

# of what is installed little is ever imported: that is compiled then, once, and kept
unset PYTHONDONTWRITEBYTECODE
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install -q --no-compile -r tests/requirements.txt
exec .venv/bin/python -m pytest "$@"
