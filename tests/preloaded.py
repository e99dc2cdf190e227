"""Start Python scripts, or code after `-c`, in copies of a process that has loaded torch already.

Loading torch takes two seconds of a processor, and the tests start hundreds of scripts. A server
process loads it once; for each script it forks a copy, which becomes that script's process: with
its own arguments, environment, working directory and standard streams.
"""

import array
import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import random
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

PRELOADED = """
    torch torch._dynamo torch.distributed safetensors.torch numpy tqdm tqdm.auto
    pandas PIL.Image jinja2 orjson yaml httpx pydantic fastapi starlette uvicorn fsspec
    mcp.server huggingface_hub.hf_api gradio gradio.mcp
"""
# packages that read the environment when they are imported, and the beginnings of what they read;
# they are imported again where that differs
READING = {"huggingface_hub", "gradio", "gradio_client", "safehttpx"}
READ = ("HF_", "HUGGING", "GRADIO_", "XDG_", "HOME", "SSL", "DO_NOT_TRACK", "DISABLE_TELEMETRY")
READ += ("HTTP", "http", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")
PORT = "GRADIO_SERVER_PORT"
POLL_SECONDS = 0.01
MAX_REQUEST = 2**20  # bytes
WITHIN = 120  # seconds that a process may take
MAX_COMMAND = 4096  # bytes of a command line


class Process:
    """A script's process, like subprocess.Popen; `command` begins with a Python."""

    _server = None  # the address of the server of this process

    def __init__(
        self,
        command,
        stdin=None,
        stdout=None,
        stderr=None,
        text=False,
        env=None,
        start_new_session=False,
    ):
        request = {
            "command": command,
            "env": dict(env or os.environ),
            "cwd": str(Path.cwd()),
            "start_new_session": start_new_session,
        }
        opened, self.stdout, self.stderr = [], None, None

        def descriptor(stream, name):
            if stream == subprocess.PIPE:
                reading, writing = os.pipe()
                setattr(self, name, open(reading, "r" if text else "rb"))  # noqa: SIM115, PTH123
                opened.append(writing)
                return writing
            if stream == subprocess.DEVNULL:
                opened.append(os.open(os.devnull, os.O_RDWR))
                return opened[-1]
            return {"stdin": 0, "stdout": 1, "stderr": 2}[name] if stream is None else fd_of(stream)

        descriptors = [descriptor(stdin, "stdin"), descriptor(stdout, "stdout")]
        joined = stderr == subprocess.STDOUT
        descriptors.append(descriptors[1] if joined else descriptor(stderr, "stderr"))
        self.args, self.returncode = command, None
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.settimeout(WITHIN)
        self._connection.connect(server_address())
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        self._connection.sendmsg([json.dumps(request).encode() + b"\n"], rights)
        self.pid = int.from_bytes(self._connection.recv(8), "little")
        assert self.pid, "the server of preloaded processes has ended"
        for opened_here in opened:
            os.close(opened_here)

    def poll(self):
        """Return the exit status, negative for a signal; None while the process runs."""
        if self.returncode is None:
            self._connection.setblocking(False)
            try:
                self.returncode = int.from_bytes(self._connection.recv(8), "little", signed=True)
            except BlockingIOError:
                return None
        return self.returncode

    def wait(self, timeout=WITHIN):
        """Return the exit status. Raises subprocess.TimeoutExpired."""
        give_up = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > give_up:
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(POLL_SECONDS)
        return self.returncode

    def communicate(self, timeout=WITHIN):
        """Return what the process wrote to its pipes, once it has ended.

        Raises subprocess.TimeoutExpired, too if a process that it started keeps a pipe open.
        """
        give_up, contents = time.monotonic() + timeout, {}

        def read(stream):
            contents[stream] = stream.read()

        streams = [stream for stream in (self.stdout, self.stderr) if stream]
        # not a ThreadPoolExecutor, which would wait for its threads however long they read
        readers = [threading.Thread(target=read, args=[s], daemon=True) for s in streams]
        for reader in readers:
            reader.start()
        try:
            self.wait(timeout)
            for reader in readers:
                reader.join(max(1, give_up - time.monotonic()))
                if reader.is_alive():
                    raise subprocess.TimeoutExpired(self.args, timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return [contents.get(stream) for stream in (self.stdout, self.stderr)]

    def send_signal(self, number):
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ended, and was not reported yet
                os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def run(command, timeout=WITHIN, capture_output=True, **options):
    """Run a script to its end as subprocess.run does, without `check`."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = Process(command, **options)
    output, errors = process.communicate(timeout)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def fd_of(stream):
    return stream if isinstance(stream, int) else stream.fileno()


def server_address():
    """Return the address of this process's server, which is started first if there is none."""
    if Process._server is None:
        address = str(Path(tempfile.mkdtemp(prefix="preloaded-")) / "socket")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        command = [sys.executable, __file__, address, "x" * MAX_COMMAND]
        server = subprocess.Popen(command, **pipes)
        server.stdout.readline()  # it listens
        atexit.register(server.communicate, timeout=WITHIN)  # closes its input, which ends it
        Process._server = address
    return Process._server


def serve(address):
    """Fork for each request until the standard input is closed; return in the copies only.

    Returns (request, the standard streams' descriptors).
    """
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    listener.settimeout(POLL_SECONDS)
    print("listening", flush=True)
    os.set_blocking(0, False)
    children = {}  # pid -> connection
    while os.getppid() != 1 and is_open(0):
        report_ended(children)
        try:
            connection = listener.accept()[0]
        except TimeoutError:
            continue
        connection.setblocking(True)
        request, descriptors = receive(connection)
        if not (pid := os.fork()):
            if request["start_new_session"]:
                os.setsid()
            connection.send(os.getpid().to_bytes(8, "little"))
            return request, descriptors
        children[pid] = connection
        for descriptor in descriptors:
            os.close(descriptor)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    Path(address).unlink()
    Path(address).parent.rmdir()
    os._exit(0)


def is_open(descriptor):
    try:
        return os.read(descriptor, 1) != b""
    except BlockingIOError:
        return True


def report_ended(children):
    """Send the exit statuses of the children that have ended."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        ended = os.waitstatus_to_exitcode(status).to_bytes(8, "little", signed=True)
        with children.pop(pid) as connection, contextlib.suppress(BrokenPipeError):
            connection.send(ended)  # nobody may wait for it any more


def receive(connection):
    """Return (request, descriptors) from a connection."""
    raw, descriptors, _, _ = socket.recv_fds(connection, MAX_REQUEST, 3)
    while not raw.endswith(b"\n"):
        raw += connection.recv(MAX_REQUEST)
    return json.loads(raw), descriptors


def become(request, descriptors):
    """Give this process the environment, arguments and streams of a new one."""
    set_command_line(request["command"])
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    if variables_read(os.environ) != variables_read(request["env"]):
        for module in [name for name in sys.modules if name.split(".")[0] in READING]:
            del sys.modules[module]
    os.environ.clear()
    os.environ.update(request["env"])
    random.seed()  # else all copies had the same random numbers
    if "gradio.http_server" in sys.modules:
        importlib.reload(sys.modules["gradio.http_server"])  # it reads PORT
    os.chdir(request["cwd"])
    _, *sys.argv = request["command"]
    directory = "" if sys.argv[0] == "-c" else str(Path(sys.argv[0]).resolve().parent)
    paths = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:1] = [directory, *paths]
    sys.modules.pop("sitecustomize", None)
    with contextlib.suppress(ImportError):  # there may be none
        import sitecustomize  # noqa: F401


def variables_read(environment):
    """Return the part of an environment that READING reads."""
    return {k: v for k, v in environment.items() if k.startswith(READ) and k != PORT}


def execute():
    """Run the script, or the code after `-c`, that this process's arguments name."""
    if sys.argv[0] == "-c":
        exec(sys.argv.pop(1), {"__name__": "__main__"})
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def exit_at_once(code):
    """End as sys.exit(code) does, without deleting every object, which takes 0.3 s.

    Return instead if that might change what the process prints or its status.
    """
    if code is not None and type(code) is not int:
        return
    threading._shutdown()
    atexit._run_exitfuncs()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


def set_command_line(command):
    """Change the command line of this process in /proc, to at most MAX_COMMAND bytes."""
    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(stat[45]), int(stat[46])  # see proc_pid_stat(5)
    raw = b"\0".join(os.fsencode(argument) for argument in command)
    ctypes.memmove(start, raw[: end - start - 1].ljust(end - start, b"\0"), end - start)


if __name__ == "__main__":
    for module in PRELOADED.split():
        importlib.import_module(module)
    gc.freeze()  # collections in the copies would write to every page of these objects
    become(*serve(sys.argv[1]))
    try:
        execute()
    except SystemExit as exit:
        exit_at_once(exit.code)
        raise
    exit_at_once(None)
