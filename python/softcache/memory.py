"""What was read and decoded is kept while it fits into a budget; what was used longest ago goes first."""
from collections import OrderedDict
from threading import Lock


class Memory:
    def __init__(self, budget):
        self.budget = budget
        self._items = OrderedDict()  # key -> (item, bytes)
        self._used = 0
        self._lock = Lock()

    def get(self, key):
        with self._lock:
            if key not in self._items:
                return None
            self._items.move_to_end(key)
            return self._items[key][0]

    def put(self, key, item, size):
        """Keeps the item if it fits at all. Items that are in use stay alive when they are dropped here."""
        if size > self.budget:
            return
        with self._lock:
            if key in self._items:
                self._used -= self._items.pop(key)[1]
            self._items[key] = (item, size)
            self._used += size
            while self._used > self.budget:
                self._used -= self._items.popitem(last=False)[1][1]
