# Results as data besides text and pictures (spec/code-interpreter.md 5, 9): e2b/data of data frames, e2b/chart of
# figures, application/json of lists and dictionaries. Nothing is imported that the cell has not imported itself.
def _belljar_data():
    import sys

    from IPython.core.formatters import BaseFormatter, JSONFormatter
    from traitlets import ObjectName, Unicode

    if "/usr/local/lib/belljar/python" not in sys.path:
        sys.path.append("/usr/local/lib/belljar/python")

    def frame(value):
        pandas = sys.modules.get("pandas")
        if pandas is None or not isinstance(value, getattr(pandas, "DataFrame", ())):
            return None
        import orjson

        # what JSON has no word for becomes text, times as ISO 8601
        def other(v):
            return v.isoformat() if hasattr(v, "isoformat") else str(v)

        columns = value.to_dict(orient="list")
        text = orjson.dumps(columns, default=other, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
        return orjson.loads(text)

    def chart(value):
        figure = getattr(sys.modules.get("matplotlib.figure"), "Figure", None)
        if figure is None or not isinstance(value, figure):
            return None
        try:
            import belljar_charts

            return belljar_charts.extract(value)
        except Exception:
            return {}

    def formatter_of(kind, method, make):
        class Formatter(BaseFormatter):
            format_type = Unicode(kind)
            print_method = ObjectName(method)
            _return_type = dict

            def __call__(self, obj):
                made = make(obj)
                return made if made is not None else super().__call__(obj)

        return Formatter

    class PlainJSONFormatter(JSONFormatter):
        def __call__(self, obj):
            if type(obj) not in (list, dict):
                return super().__call__(obj)
            import orjson

            try:
                return orjson.loads(orjson.dumps(obj, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)), {"expanded": True}
            except (TypeError, ValueError):
                return None

    formatter = get_ipython().display_formatter  # noqa: F821
    data = formatter_of("e2b/data", "_repr_e2b_data_", frame)
    charts = formatter_of("e2b/chart", "_repr_e2b_chart_", chart)
    for made in (data, charts, PlainJSONFormatter):
        one = made(parent=formatter)
        formatter.formatters[one.format_type] = one
    formatter.active_types = list(formatter.formatters)


_belljar_data()
del _belljar_data
