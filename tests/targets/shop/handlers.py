# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""One function per page."""


class Handlers:
    """Routes requests; each returns the text of its page."""

    def __init__(self, catalog, sessions):
        self.catalog = catalog
        self.sessions = sessions
        self.routes = [self.home, self.browse, self.buy]

    def handle(self, number):
        return self.routes[number % len(self.routes)](number)

    def home(self, number):
        return self._visit(number, "home")

    def browse(self, number):
        rows = self.catalog.search(f"tag-{number % 13}", 20)
        cheapest = min(rows, key=lambda row: row["price"])
        return self._visit(number, cheapest["sku"])

    def buy(self, number):
        total = self.catalog.checkout([f"sku-{(number * 7 + step) % 500:05}" for step in range(5)])
        return self._visit(number, f"{total:.2f}")

    def _visit(self, number, what):
        """Every page remembers the visitor; 24 to 56 KiB of history each."""
        page = f"{number:08} {what:>24} ".ljust(512, ".")
        session = self.sessions.remember(f"user-{number % 50}", number, page, 48 + number % 65)
        return session["history"][:200]
