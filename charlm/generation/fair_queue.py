"""A queue that serves clients in turn, and the sessions of each client in turn."""

from collections import Counter, deque


class FairQueue:
    """Waiting items; a session's are served in the order in which they came. Not thread-safe.

    A client is a network address; its sessions may be many people behind it. Iterating yields the
    items in the order in which they will be served if no more come.
    """

    def __init__(self):
        self._clients = {}  # client -> {session -> deque of items}, the next to be served first
        self._owners = {}  # item -> (client, session), the oldest item first
        self._order = None  # the items in the order of serving, until the queue changes

    def __len__(self):
        return len(self._owners)

    def __iter__(self):
        return iter(self._in_order())

    def __contains__(self, item):
        return item in self._owners

    def push(self, item, client=None, session=None):
        """Append an item to those of its session."""
        self._clients.setdefault(client, {}).setdefault(session, deque()).append(item)
        self._owners[item] = client, session
        self._order = None

    def take(self, item):
        """Remove an item that is served now: it will be the turn of others."""
        client, session = self._owners[item]
        sessions = self._clients.pop(client)
        queue = sessions.pop(session)
        self._clients[client], sessions[session] = sessions, queue
        self.remove(item)

    def pop(self):
        """Remove and return the item that is served next."""
        item = self._in_order()[0]
        self.take(item)
        return item

    def remove(self, item):
        """Remove an item, which does not count as served."""
        client, session = self._owners.pop(item)
        sessions = self._clients[client]
        sessions[session].remove(item)
        if not sessions[session]:
            del sessions[session]
        if not sessions:
            del self._clients[client]
        self._order = None

    def position(self, item):
        """Return the position of an item in the order of serving, from 1; 0 if it is not here."""
        return self._in_order().index(item) + 1 if item in self._owners else 0

    def clients(self):
        """Return the clients that have items."""
        return self._clients.keys()

    def displaced_by(self, client):
        """Return the item that makes room in a full queue for one of `client`, or None.

        It is the newest one of the client that has most, if that has more than `client` would have.
        """
        counts = Counter(owner for owner, _ in self._owners.values())
        largest = max(counts, key=counts.get, default=None)
        if not counts or counts[largest] <= counts[client] + 1:
            return None
        return next(item for item, owner in reversed(self._owners.items()) if owner[0] == largest)

    def _in_order(self):
        if self._order is None:
            sessions = (interleave(queues.values()) for queues in self._clients.values())
            self._order = list(interleave(sessions))
        return self._order


def interleave(queues):
    """Yield the first item of each queue, then the second of each, and so on."""
    iterators = deque(iter(queue) for queue in queues)
    while iterators:
        iterator = iterators.popleft()
        for item in iterator:
            yield item
            iterators.append(iterator)
            break
