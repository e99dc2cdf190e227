"""HubFollowers without a Hub: what several threads see of it."""

import sys
import threading
from pathlib import Path

from charlm.hub import follow
from charlm.hub.pull import PulledModel

REPO = "ann/player"


def test_a_model_in_use_is_there_for_every_thread(monkeypatch):
    pulled = PulledModel(Path("nowhere"), REPO, "0" * 40)
    monkeypatch.setattr(follow, "find_cached", lambda *_: pulled)
    monkeypatch.setattr(follow, "pull", lambda *_, **__: pulled)
    followers = follow.HubFollowers()
    followers.follow(REPO)
    ended = threading.Event()

    def use():
        while not ended.is_set():
            followers.use(REPO)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # seconds; threads take turns after each few instructions
    thread = threading.Thread(target=use)
    thread.start()
    try:
        missing = sum(REPO not in followers.available() for _ in range(20_000))
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert missing == 0
