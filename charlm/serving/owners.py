"""Who may act on a run: the browser, or the network address, that started it.

An owner is a string in the run's job.json: "browser" and the SHA-256 of a secret that the browser
keeps, or "address" and the address of an API call. Whoever runs the server is None here.
"""

import hashlib
from typing import NamedTuple

MIN_SECRET = 16  # characters


class Visitor(NamedTuple):
    """Somebody who starts runs or acts on them."""

    address: str
    secret: str = ""  # of the browser; "" for an API call

    @property
    def owner(self):
        """The owner of the runs that this visitor starts."""
        if len(self.secret) < MIN_SECRET:
            return f"address {self.address}"
        return f"browser {hashlib.sha256(self.secret.encode()).hexdigest()}"

    def owns(self, job):
        """Return whether this visitor may act on a Job."""
        return job.owner in (self.owner, f"address {self.address}")


def may_act(by, job):
    """Return whether a Visitor, or None for whoever runs the server, may act on a Job."""
    return by is None or by.owns(job)
