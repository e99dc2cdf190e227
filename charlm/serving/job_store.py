"""The jobs of a page on the disk, and the deletion of jobs and runs."""

import contextlib
import shutil

from charlm.files import locked
from charlm.serving.job import JOB_FILE, OUTPUT_FILE, failure_message, load_job, owns_run, save_job
from charlm.serving.process import command_of


class JobStore:
    """The job folders in `.jobs/`, beside the run directories in `directory`."""

    def __init__(self, directory):
        self.directory, self.folder = directory, directory / ".jobs"

    @contextlib.contextmanager
    def locked(self):
        """Exclude every other process and thread that changes jobs. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "lock"):
            yield

    def exists(self, name=""):
        """Return whether any job exists, or the one of this name."""
        return (self.folder / name).is_dir()

    def all(self):
        """Return all jobs, the longest unchanged first."""
        found = [self.get(path.parent.name) for path in self.folder.glob(f"*/{JOB_FILE}")]
        return sorted((job for job in found if job), key=lambda job: job.since)

    def get(self, name):
        """Return the Job of a name; None if it has none, or if its run was started elsewhere."""
        job, directory = load_job(self.folder / name), self.directory / name
        foreign = job and directory.exists() and not owns_run(self.folder / name, directory)
        return None if foreign else job

    def save(self, job):
        """Write a Job; return it. Raises OSError."""
        return save_job(self.folder / job.name, job)

    def output(self, name):
        """Return the path of the output of a job's train.py."""
        return self.folder / name / OUTPUT_FILE

    def failure(self, name):
        """Return the error that a job's train.py printed last; "" if it printed none."""
        return failure_message(self.folder / name)

    def delete(self, name):
        """Delete a job and its run, the run directory first and in one step."""
        directory, deleted = self.directory / name, self.directory / f".{name}.deleted"
        shutil.rmtree(deleted, ignore_errors=True)  # of an earlier deletion that was cut short
        with contextlib.suppress(FileNotFoundError):
            directory.rename(deleted)
        shutil.rmtree(deleted, ignore_errors=True)
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def sweep(self):
        """Delete the leftovers of processes that were killed while they made or deleted a run."""
        for path in self.directory.glob(".*.deleted"):
            shutil.rmtree(path, ignore_errors=True)
        for path in self.directory.glob(".*.new"):
            pid = path.name.split(".")[-2].partition("-")[0]
            if pid.isdecimal() and not command_of(int(pid)):
                shutil.rmtree(path, ignore_errors=True)
