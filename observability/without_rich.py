"""Import structlog without rich. Import this module before any other that imports structlog.

structlog imports rich to draw tracebacks, if it is installed. The log has plain tracebacks, and
importing rich would slow down every start.
"""

import sys

if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog  # noqa: F401

    del sys.modules["rich"]
