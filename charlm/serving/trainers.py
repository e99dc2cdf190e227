"""The train.py processes of a page's jobs: started, asked to stop, killed, looked for."""

import sys
import time
from dataclasses import replace

from charlm.serving import job_state
from charlm.serving.process import (
    command_of,
    continue_process,
    kill_process,
    memory_of,
    start_in_background,
    terminate_process,
)

MAX_LAUNCH = 5  # seconds that starting a process may take


class Trainers:
    """The processes of the jobs in a JobStore, those of earlier servers of the page included."""

    def __init__(self, trainer, store):
        """`trainer`: the path of train.py."""
        self.trainer, self.store = trainer, store
        self.children = {}  # name -> Popen, of the trainers that this process started

    def launch(self, job):
        """Start the train.py of a job that waits."""
        command = [sys.executable, str(self.trainer), *job.arguments]
        # out of the queue first, so that a failure after this cannot start it twice
        job = self.store.save(job_state.launched(job, time.time()))
        process = None
        try:
            process = start_in_background(command, self.store.output(job.name))
            self.store.save(replace(job, pid=process.pid))
        except OSError:
            if process:
                process.kill()  # without its pid on the disk, it could not be stopped
            self.store.save(replace(job, waiting=True))
            raise
        self.children[job.name] = process

    def request_stop(self, job):
        """Ask a trainer to stop, once; return the Job."""
        if job.pid and not job.stopping:
            terminate_process(job.pid)
            continue_process(job.pid)  # it may stand still, paused here or by somebody else
        since = job.stopping_since or time.time()
        return self.store.save(replace(job, stopping=True, stopping_since=since, paused=False))

    def too_large(self, activities, most):
        """Return (job, reason) of the trainers that use more than `most` megabytes of memory."""
        reason = f"it used more than {most:,} MB of memory, as much as a run may here"
        alive = [a.job for a in activities if a.alive and a.job.pid]
        return [(job, reason) for job in alive if memory_of(job.pid) > most]

    def kill(self, job, reason):
        """Kill a trainer; the reason is the sentence that visitors will read."""
        self.store.save(replace(job, killed=reason))
        kill_process(job.pid)

    def is_alive(self, job):
        """Return whether the process of a job runs or is being started."""
        child = self.children.get(job.name)
        if child and child.pid == job.pid:
            return child.poll() is None
        if job.pid is None:  # being started, unless the process that was doing so was killed
            return not job.waiting and time.time() - job.started < MAX_LAUNCH
        # started by another process of this page; the pid may be another program's by now
        return f"--name={job.name}" in command_of(job.pid)
