#!/usr/bin/env bash
# Installs what the tests need, a Chromium included, and runs all that are not slow: bash tests/run.sh
# Arguments go to pytest: -m "" runs the slow ones, too. Everything but Chromium goes into .venv/ here.
set -euo pipefail
cd "$(dirname "$0")/.."

has() { command -v "$1" >/dev/null; }
install() { $as_root apt-get install -q -y --no-install-recommends "$1"; }

as_root=$([ "$(id -u)" = 0 ] || echo sudo)
has_chromium=$({ has chromium || has chromium-browser || has google-chrome; } && echo yes || true)
# a page costs the headless shell half the time that it costs a whole Chromium
if ! has chromium-headless-shell && has apt-get && { [ -z "$as_root" ] || [ -z "$has_chromium" ]; }; then
  { $as_root apt-get update -q && install chromium-headless-shell; } || [ "$has_chromium" ] ||
    install chromium
fi

# of what is installed little is ever imported: that is compiled then, once, and kept
unset PYTHONDONTWRITEBYTECODE
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install -q --no-compile -r tests/requirements.txt
exec .venv/bin/python -m pytest "$@"
