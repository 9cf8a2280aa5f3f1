# Tracebacks without colours, results without an ellipsis (spec/code-interpreter.md 9).
c = get_config()  # noqa: F821
c.InteractiveShell.colors = "NoColor"
c.PlainTextFormatter.max_seq_length = 0
# Kernels would share one history file, and tell the cell when they get in each other's way.
c.HistoryManager.enabled = False
