"""Lines that an inspection worker writes to its standard output beside results."""

# All modules are imported: the worker accepts jobs.
READY = b"ready\n"
# The worker has received a job and inspects its file.
STARTED = b"started\n"
