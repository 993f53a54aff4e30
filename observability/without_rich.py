"""Imported before structlog is, which would load rich to draw tracebacks with: those of the log are
plain text.
"""

import sys

if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog  # noqa: F401

    del sys.modules["rich"]
