# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What the shop sells. Allocates a lot and gives all of it back."""
import json


class Catalog:
    """Products in memory, made once."""

    def __init__(self, size):
        self.products = {f"sku-{number:05}": self._product(number) for number in range(size)}

    @staticmethod
    def _product(number):
        return {"sku": f"sku-{number:05}", "price": number % 997 + 0.99, "tags": [f"tag-{number % 13}", "sale"],
                "text": f"Product {number}, well made. " * 8}

    def search(self, tag, limit):
        """Rows for a page; garbage as soon as the page is out."""
        rows = []
        for product in self.products.values():
            if tag in product["tags"]:
                rows.append({"sku": product["sku"], "price": product["price"], "text": product["text"][:60]})
                if len(rows) == limit:
                    break
        return rows

    def checkout(self, skus):
        """A round trip through JSON, as between two services."""
        order = json.dumps([self.products[sku] for sku in skus])
        return sum(product["price"] for product in json.loads(order))
