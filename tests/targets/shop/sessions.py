# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Who is shopping. The cache is meant to forget old sessions, and never does: this is the leak."""
import sys


class SessionCache:
    """Sessions by (user, number of the visit)."""

    def __init__(self, max_age_s=3600):
        self.max_age_s = max_age_s
        self.sessions = {}
        self.count = 0
        self.payload_bytes = 0
        self.small_bytes = 0

    def remember(self, user, visit, page, pages):
        session = {"user": user, "visit": visit, "cart": (user, visit), "history": None}
        session["history"] = page * pages  # line: leak
        key = (user, visit)
        self.sessions[key] = session
        self._account(key, session)
        return session

    def _account(self, key, session):
        """What was just leaked, exactly: the truth that the service tells."""
        self.count += 1
        self.payload_bytes += sys.getsizeof(session["history"])
        self.small_bytes += sum(map(sys.getsizeof, (key, session, session["cart"])))

    def expire(self, now):
        """Removes what is too old; the mistake is that visits are numbered and never are older than an hour."""
        old = [key for key in self.sessions if now - key[1] > self.max_age_s * 1_000_000]
        for key in old:
            del self.sessions[key]
