"""Cases of execution, each with its complete response."""
