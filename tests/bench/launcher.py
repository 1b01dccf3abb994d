"""`launcher.py LOG SECONDS COMMAND...`: run a command to its end and print what it took, as JSON.

A process of its own, small and without the project's imports: the kernel counts the memory of
whoever starts a process towards the peak of that process. SECONDS, unless 0, is after how long the
command is asked to end (SIGTERM).
"""

import json
import os
import signal
import sys
import time


def main(log: str, seconds: str, *command: str) -> None:
    """Start it, wait, tell."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    streams = [(os.POSIX_SPAWN_DUP2, nothing, 0)]
    streams += [(os.POSIX_SPAWN_DUP2, output, stream) for stream in (1, 2)]
    start = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=streams)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, float(seconds))
    # The usage of the command and of those of its children that it waited for.
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    # macOS counts bytes, everybody else KiB
    peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    told = {
        "code": os.waitstatus_to_exitcode(status),
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mib": peak,
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
