"""Trainer of the slow member: a process beside the job, and the files through which the two meet.

- `files` has the work and the weights, each whole or not there, and a manifest that says which weights are complete.
- `process` is the process: niced, on a core of its own, with bounded memory. It trains one work and ends.
- `beside` starts it, and looks for its weights. Its death never stops the job.
"""
