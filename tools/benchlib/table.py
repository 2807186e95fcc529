# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Markdown tables that are also readable as text, and numbers for people."""


def number(value, digits=0, unit=""):
    return "-" if value is None else f"{value:,.{digits}f}{unit}"


def mib(value, digits=1):
    return number(None if value is None else value / (1 << 20), digits)


def ratio(value):
    """1.023, 12.4, 171: as many digits as a noisy clock is good for."""
    return "-" if value is None else f"{value:.3f}" if value < 2 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def dropped(counts):
    """{"dropped.x": 3} as "x 3"."""
    return ", ".join(f"{name.partition('.')[2]} {value:,}" for name, value in counts.items()) or "0"


def lines_of(head, rows):
    """A table's lines: first column left, others right."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells):
        return "| " + " | ".join(cell.ljust(width) if not i else cell.rjust(width)
                                 for i, (cell, width) in enumerate(zip(cells, widths))) + " |"
    rule = "|" + "|".join("-" * (width + 2) if not i else "-" * (width + 1) + ":" for i, width in enumerate(widths)) + "|"
    return [line(head), rule, *map(line, rows)]


def show(title, head, rows, notes=()):
    print(f"\n### {title}\n")
    print("\n".join(lines_of(head, rows)))
    for note in notes:
        print(f"\n{note}")
    print(flush=True)
