"""Small plots as inline SVG: text in the page's ink (`currentColor`), lines coloured by class in the style sheet.

Every text is escaped.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 460, 230
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 10, 38


@dataclass(frozen=True)
class Series:
    """A line or points; `style` is a class of the style sheet (`t2v`, `v2t`, `reference`)."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    style: str = "t2v"


@dataclass(frozen=True)
class Axis:
    """`title`, and the range from `low` to `high`; `log` is by tenfolds, `whole` has no ticks between whole numbers."""

    title: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def place(self, value: float) -> float:
        """0 at `low`, 1 at `high`."""
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[float]:
        """Round numbers within the range, about five."""
        if self.log:
            found = [base * 10.0**power for power in range(-3, 8) for base in (1, 2, 5)]
            inside = [value for value in found if self.low <= value <= self.high]
            whole = [value for value in inside if f"{value:g}".strip("0.") == "1" or value in (self.low, self.high)]
            return inside if len(inside) <= 7 else whole
        step = _round_step((self.high - self.low) / 4)
        step = math.ceil(step) if self.whole else step
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    @property
    def labelled(self) -> list[tuple[float, str]]:
        """The ticks with their texts, all with as many decimals."""
        decimals = max((_decimals(value) for value in self.ticks), default=0)
        return [(value, f"{value:,.{decimals}f}") for value in self.ticks]


def axis(title: str, values: Sequence[float], *, log: bool = False, zero: bool = False) -> Axis:
    """An axis that holds the values, from 0 where `zero`; it ends at a round number, unless it is `log`."""
    low, high = min(values), max(values)
    if log:
        return Axis(title, low, max(high, low * 2), log=True)
    low = min(low, 0.0) if zero else low
    step = _round_step(max(high - low, 1e-9) / 4)
    return Axis(title, math.floor(low / step + 1e-9) * step, max(math.ceil(high / step - 1e-9) * step, low + step))


def lines(series: Sequence[Series], x: Axis, y: Axis, *, label: str, mark_x: float | None = None) -> Markup:
    """Lines through points, their names in a legend; `mark_x` is a dashed upright."""
    parts = [_frame(x, y)]
    if mark_x is not None:
        place = _x(x, mark_x)
        parts.append(Markup('<line class="mark" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
            place, TOP, HEIGHT - BOTTOM))  # fmt: skip
    for one in series:
        points = " ".join(f"{_x(x, a)},{_y(y, b)}" for a, b in zip(one.xs, one.ys, strict=True) if b == b)
        parts.append(Markup('<polyline class="line {}" points="{}"/>').format(one.style, points))
    return _svg(parts, label, series)


def points(series: Sequence[Series], x: Axis, y: Axis, *, label: str, diagonal: bool = False) -> Markup:
    """Dots, larger where several lie on one place; `diagonal` draws where both axes agree."""
    parts = [_frame(x, y)]
    if diagonal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        ends = (_x(x, low), _y(y, low), _x(x, high), _y(y, high))
        parts.append(Markup('<line class="mark" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(*ends))
    for one in series:
        counts = Counter(zip(one.xs, one.ys, strict=True))
        dots = [
            Markup('<circle cx="{}" cy="{}" r="{:.1f}"/>').format(_x(x, a), _y(y, b), min(12.0, 2.5 + count**0.5 / 2))
            for (a, b), count in sorted(counts.items())
        ]
        parts.append(Markup('<g class="dots {}">{}</g>').format(one.style, Markup("").join(dots)))
    return _svg(parts, label, series, key="dot")


def bars(names: Sequence[str], series: Sequence[Series], *, x_title: str, y_title: str, label: str) -> Markup:
    """Upright bars, one group a name; each series has one value a name in its `ys`."""
    y = axis(y_title, [value for one in series for value in one.ys], zero=True)
    slot = (WIDTH - LEFT - RIGHT) / len(names)
    width = min(26.0, slot * 0.8 / len(series))
    parts = [_grid(y), _titles(x_title, y_title)]
    for place, name in enumerate(names):
        middle = LEFT + slot * (place + 0.5)
        parts.append(Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            middle, HEIGHT - BOTTOM + 14, name))  # fmt: skip
        for side, one in enumerate(series):
            left = middle + (side - len(series) / 2) * width
            top = _y(y, one.ys[place])
            shape = (
                '<rect class="bar {}" x="{:.1f}" y="{}" width="{:.1f}" height="{:.1f}"><title>{}: {:g}</title></rect>'
            )
            parts.append(Markup(shape).format(
                one.style, left, top, max(1.0, width - 1), max(0.0, HEIGHT - BOTTOM - top), name, one.ys[place]
            ))  # fmt: skip
    return _svg(parts, label, series)


def _svg(parts: Sequence[Markup], label: str, series: Sequence[Series], key: str = "") -> Markup:
    picture = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, label, Markup("").join(parts)
    )
    return Markup('<figure class="plot"><figcaption>{}{}</figcaption>{}</figure>').format(
        label, _legend(series, key), picture
    )


def _legend(series: Sequence[Series], key: str) -> Markup:
    if len(series) < 2:
        return Markup("")
    items = [Markup('<span class="key {} {}">{}</span>').format(key, one.style, one.name) for one in series]
    return Markup('<span class="legend">{}</span>').format(Markup("").join(items))


def _frame(x: Axis, y: Axis) -> Markup:
    ticks = [
        Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            _x(x, value), HEIGHT - BOTTOM + 14, text
        )
        for value, text in x.labelled
    ]
    return _grid(y) + Markup("").join(ticks) + _titles(x.title, y.title)


def _grid(y: Axis) -> Markup:
    rows = [
        Markup(
            '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>'
            '<text class="tick" x="{3}" y="{2}" dy="3.5" text-anchor="end">{4}</text>'
        ).format(LEFT, WIDTH - RIGHT, _y(y, value), LEFT - 6, text)
        for value, text in y.labelled
    ]
    base = Markup('<line class="base" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>').format(
        LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM
    )
    return Markup("").join(rows) + base


def _titles(x_title: str, y_title: str) -> Markup:
    middle = (LEFT + WIDTH - RIGHT) / 2
    upright = (TOP + HEIGHT - BOTTOM) / 2
    return Markup(
        '<text class="title" x="{0}" y="{1}" text-anchor="middle">{2}</text>'
        '<text class="title" transform="translate(11 {3}) rotate(-90)" text-anchor="middle">{4}</text>'
    ).format(middle, HEIGHT - 6, x_title, upright, escape(y_title))


def _x(axis: Axis, value: float) -> float:
    return round(LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT), 1)


def _y(axis: Axis, value: float) -> float:
    return round(HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM), 1)


def _decimals(value: float) -> int:
    """How many it takes to four digits."""
    return len(f"{float(f'{value:.4g}'):.12f}".rstrip("0").partition(".")[2])


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(base * power for base in (1, 2, 2.5, 5, 10) if base * power >= step * (1 - 1e-9))
