"""The endpoints beside GraphQL."""

METHODS = ("GET", "POST", "PUT", "HEAD", "OPTIONS")
# Files are transferred below these paths, without a time limit while there is progress: routes and
# connections enforce that.
STREAMING_PREFIXES = ("/uploads/", "/files/", "/exports/")
