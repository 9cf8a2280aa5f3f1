"""Charts as data: what a matplotlib figure shows, as the JSON of spec/code-interpreter.md 10."""

import datetime
import re

import numpy
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.container import BarContainer
from matplotlib.dates import _SwitchableDateConverter, num2date
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, Rectangle, Wedge
from matplotlib.text import Text


def extract(figure: Figure) -> dict:
    """The chart of a figure; {} when nothing is drawn in it."""
    filled = [axes for axes in figure.axes if axes.has_data()]
    if not filled:
        return {}
    if len(figure.axes) == 1:
        return _chart(figure.axes[0])
    title = figure.get_suptitle() if hasattr(figure, "get_suptitle") else ""
    return {"type": "superchart", "title": title, "elements": [_chart(axes) for axes in filled]}


# -- what is in the axes --


def _drawn(axes: Axes) -> list:
    """The artists that are data: not the frame, the axes and the texts."""
    frame = {axes.patch, axes.xaxis, axes.yaxis, axes.legend_, *axes.spines.values()}
    return [a for a in axes.get_children() if a not in frame and not isinstance(a, Text)]


def _is_grid(artist) -> bool:
    """Two points on a line along an axis, as axhline and box plots draw them."""
    if not isinstance(artist, Line2D):
        return False
    x, y = artist.get_xdata(), artist.get_ydata()
    return len(x) == 2 and len(y) == 2 and (x[0] == x[1] or y[0] == y[1])


def _chart(axes: Axes) -> dict:
    artists = _drawn(axes)
    kinds = [
        ("line", lambda: all(isinstance(a, Line2D) for a in artists)),
        ("box_and_whisker", lambda: all(isinstance(a, (PathPatch, Line2D)) for a in artists)),
    ]
    rest = [a for a in artists if not _is_grid(a)]
    kinds += [
        (kind, lambda cls=cls: all(isinstance(a, cls) for a in rest))
        for kind, cls in (("scatter", PathCollection), ("pie", Wedge), ("bar", Rectangle))
    ]
    kind = next((name for name, fits in kinds if fits()), "unknown")
    return _makers[kind](axes)


def _base(axes: Axes, kind: str, elements: list) -> dict:
    return {"type": kind, "title": axes.get_title() or None, "elements": elements}


def _unit(label: str):
    found = re.search(r"\s\((.*?)\)|\[(.*?)\]", label)
    return next((part for part in found.groups() if part is not None), None) if found else None


def _labels(axes: Axes) -> dict:
    x, y = axes.get_xlabel(), axes.get_ylabel()
    return {"x_label": x or None, "y_label": y or None, "x_unit": _unit(x), "y_unit": _unit(y)}


# -- axes with ticks --


def _is_date(axis) -> bool:
    converter = axis.get_converter() if hasattr(axis, "get_converter") else axis.converter
    return isinstance(converter, _SwitchableDateConverter)


def _scale(axis, ticks, labels) -> str:
    if _is_date(axis):
        return "datetime"
    if axis.get_scale() != "linear":
        return axis.get_scale()
    pairs = list(zip(ticks, labels))
    named = bool(pairs) and all(tick == i and label != str(i) for i, (tick, label) in enumerate(pairs))
    return "categorical" if named else "linear"


def _ticks(axis) -> tuple:
    ticks = [float(t) for t in axis.get_ticklocs()]
    labels = [label.get_text() for label in axis.get_ticklabels()]
    scale = _scale(axis, ticks, labels)
    return ([num2date(t).isoformat() for t in ticks] if scale == "datetime" else ticks), labels, scale


def _with_ticks(axes: Axes, kind: str, elements: list) -> dict:
    made = _base(axes, kind, elements) | _labels(axes)
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        made[f"{name}_ticks"], made[f"{name}_tick_labels"], made[f"{name}_scale"] = _ticks(axis)
    return made


def _value(v):
    if isinstance(v, (datetime.date, datetime.datetime)):
        return v.isoformat()
    if isinstance(v, numpy.datetime64):
        return numpy.datetime_as_string(v, unit="s")
    if isinstance(v, numpy.generic):
        return v.item()
    return v


def _dated(axis, v):
    """A number of an axis of dates, as scatter plots keep them."""
    return num2date(v).isoformat() if _is_date(axis) and isinstance(v, (int, float, numpy.number)) else _value(v)


def _label(text: str, prefix: str, word: str, number: int) -> str:
    return f"{word} {number}" if text.startswith(prefix) else text


def _line(axes: Axes) -> dict:
    lines = [a for a in axes.get_lines() if not _is_grid(a)]
    return _with_ticks(axes, "line", [
        {
            "label": _label(str(line.get_label()), "_child", "Line", i),
            "points": [[_value(x), _value(y)] for x, y in zip(line.get_xdata(), line.get_ydata())],
        }
        for i, line in enumerate(lines)
    ])


def _scatter(axes: Axes) -> dict:
    return _with_ticks(axes, "scatter", [
        {
            "label": _label(str(c.get_label()), "_child", "Scatter", i),
            "points": [[_dated(axes.xaxis, x), _dated(axes.yaxis, y)] for x, y in c.get_offsets().tolist()],
        }
        for i, c in enumerate(a for a in axes.collections if isinstance(a, PathCollection))
    ])


# -- bars, slices, boxes --


def _tick_names(axis) -> dict:
    return {float(at): label.get_text() for at, label in zip(axis.get_ticklocs(), axis.get_ticklabels())}


def _bar(axes: Axes) -> dict:
    groups = [c for c in axes.containers if isinstance(c, BarContainer)]
    every = [bar for group in groups for bar in group]
    # bars of one height are taken to lie
    lies = len({round(bar.get_height(), 9) for bar in every}) <= 1
    made = _base(axes, "bar", [])
    labels = _labels(axes)
    if lies:
        labels = {"x_label": labels["y_label"], "y_label": labels["x_label"], "x_unit": labels["y_unit"], "y_unit": labels["x_unit"]}
    for number, group in enumerate(groups):
        names = [label.get_text() for label in (axes.yaxis if lies else axes.xaxis).get_ticklabels()]
        at = _tick_names(axes.yaxis if lies else axes.xaxis)
        for i, bar in enumerate(group):
            middle = bar.get_y() + bar.get_height() / 2 if lies else bar.get_x() + bar.get_width() / 2
            name = next((text for tick, text in at.items() if abs(tick - middle) < 1e-6), names[i] if i < len(names) else "")
            made["elements"].append({
                "label": name,
                "group": _label(str(group.get_label()), "_container", "Group", number),
                "value": float(bar.get_width() if lies else bar.get_height()),
            })
    return made | labels


def _pie(axes: Axes) -> dict:
    return _base(axes, "pie", [
        {"label": w.get_label(), "angle": round(abs(w.theta2 - w.theta1)), "radius": w.r}
        for w in axes.patches
        if isinstance(w, Wedge)
    ])


def _round(v) -> float:
    return round(float(v), 8)


def _box(axes: Axes) -> dict:
    boxes = [p.get_path().vertices[:4] for p in axes.patches if isinstance(p, PathPatch)]
    extents = [(b.min(axis=0), b.max(axis=0)) for b in boxes]
    # boxes of one height lie on their side: the values run along x
    heights = {round(float(high[1] - low[1]), 6) for low, high in extents}
    widths = {round(float(high[0] - low[0]), 6) for low, high in extents}
    lies = len(heights) == 1 and len(widths) > 1
    along, across = (0, 1) if lies else (1, 0)
    labels = [label.get_text() for label in (axes.yaxis if lies else axes.xaxis).get_ticklabels()]
    elements = [
        _one_box(axes, low, high, along, across) | {"label": labels[i] if i < len(labels) else ""}
        for i, (low, high) in enumerate(extents)
    ]
    named = _labels(axes)
    if lies:
        named = {"x_label": named["y_label"], "y_label": named["x_label"], "x_unit": named["y_unit"], "y_unit": named["x_unit"]}
    order = ("label", "min", "first_quartile", "median", "third_quartile", "max", "outliers")
    return _base(axes, "box_and_whisker", [{key: e[key] for key in order} for e in elements]) | named


def _one_box(axes: Axes, low, high, along: int, across: int) -> dict:
    """Lines that belong to a box: whiskers end at it, the median crosses it, outliers are dots above and below."""
    middle = (low[across] + high[across]) / 2
    first, third = low[along], high[along]
    least, most, median, outliers = first, third, (first + third) / 2, []
    for line in axes.get_lines():
        points = numpy.column_stack([numpy.asarray(line.get_xdata(), float), numpy.asarray(line.get_ydata(), float)])
        if not len(points) or not numpy.all((points[:, across] >= low[across] - 1e-9) & (points[:, across] <= high[across] + 1e-9)):
            continue
        values = points[:, along]
        if line.get_linestyle() in ("None", "", " ", None):
            outliers += [_round(v) for v in values]
        elif len(values) == 2 and values[0] != values[1] and numpy.allclose(points[:, across], middle):
            least, most = min(least, *values), max(most, *values)  # a whisker
        elif len(values) == 2 and values[0] == values[1] and numpy.allclose(sorted(points[:, across]), [low[across], high[across]]):
            if first <= values[0] <= third:
                median = values[0]
    return {
        "min": _round(least), "first_quartile": _round(first), "median": _round(median),
        "third_quartile": _round(third), "max": _round(most), "outliers": outliers,
    }


_makers = {
    "line": _line, "scatter": _scatter, "bar": _bar, "pie": _pie, "box_and_whisker": _box,
    "unknown": lambda axes: _base(axes, "unknown", []),
}
