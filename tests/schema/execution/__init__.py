"""Cases of what execution has to answer, each with its whole answer."""
