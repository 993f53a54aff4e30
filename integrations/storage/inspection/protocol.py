"""Lines that a process which looks into files sends beside its answers."""

# It has imported all, and takes jobs.
READY = b"ready\n"
# It has taken a job, and looks into its file now.
STARTED = b"begun\n"
