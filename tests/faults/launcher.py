"""`launcher.py REPORT MOST RIGHTS COMMAND...`: run a command to its end, and write what it took.

A process of its own, small and without the project's imports: the kernel counts the memory of
whoever starts a process towards the peak of that process. The first line of REPORT is the
command's process id, the second its exit code, CPU seconds and peak in KiB of memory of its own:
of what is mapped from files, such as libraries, the system holds more or less as it likes. No file
that the command writes grows past MOST bytes, unless that is 0: as on a disk that is full. Where
RIGHTS is `few`, root too is let in only where the permissions of files say so.
"""

import os
import resource
import signal
import sys
import time
from pathlib import Path

_DROP_FROM_BOUNDING_SET = 24
_OVERRIDE, _READ_AND_SEARCH = 1, 2


def main(report: str, most: str, rights: str, *command: str) -> None:
    """Start it, wait, tell."""
    # A handler is not inherited, unlike a signal that is ignored: what ends the group ends the
    # command and not this.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda *_: None)
    told = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    if int(most):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
    if rights == "few" and os.geteuid() == 0:
        # Its memory would count as the command's own where nobody asks for it.
        import ctypes  # noqa: PLC0415

        for capability in (_OVERRIDE, _READ_AND_SEARCH):
            ctypes.CDLL(None).prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0)
    pid = os.posix_spawn(command[0], command, os.environ)
    os.write(told, f"{pid}\n".encode())
    own = 0
    while not (ended := os.wait4(pid, os.WNOHANG))[0]:
        own = max(own, _own_kib(pid))
        time.sleep(0.005)
    _, status, usage = ended
    code = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    # The system tells it of a living process, and not everywhere.
    os.write(told, f"{code} {cpu:.3f} {own or usage.ru_maxrss}\n".encode())


def _own_kib(pid: int) -> int:
    """The most memory that a process ever had, but for what is mapped from files."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    sizes = {name: int(size.split()[0]) for name, _, size in (each.partition(":") for each in lines)
             if name in ("VmHWM", "RssFile")}  # fmt: skip
    return sizes.get("VmHWM", 0) - sizes.get("RssFile", 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
