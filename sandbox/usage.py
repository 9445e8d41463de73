"""What a running sample has used: CPU, resident memory, processes, files."""

import os
import time

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
MOST_FILES = 4096


class Watch:
    """Compares one sample with its limits, on each tick of the fork server."""

    def __init__(self, room, limits: dict, pid: int, started: float) -> None:
        self.room, self.limits, self.pid, self.started = room, limits, pid, started

    def exceeded(self) -> tuple[str, str] | None:
        """(status, reason) of the first limit exceeded, else None."""
        limits = self.limits
        if time.monotonic() - self.started > limits["wall_s"]:
            return "timeout", f"more than {limits['wall_s']} s of wall time"
        cpu_s, resident, tasks = self._processes()
        if cpu_s > limits["cpu_s"]:
            return "timeout", f"more than {limits['cpu_s']} s of CPU time"
        if resident > limits["memory_mib"] << 20:
            return "memory", f"more than {limits['memory_mib']} MiB resident"
        if tasks > limits["processes"] + 1:
            return "blocked", f"more than {limits['processes']} processes and threads"
        return self._files()

    def _processes(self) -> tuple[float, int, int]:
        """CPU seconds, resident bytes, tasks of all processes of the sample."""
        alone = self.room.isolation != "bubblewrap"
        pids = [str(self.pid)] if alone else [p for p in os.listdir("/proc") if p.isdigit() and p != "1"]
        ticks = pages = tasks = 0
        for pid in pids:
            try:
                with open(f"/proc/{pid}/stat", "rb") as stat:
                    fields = stat.read().rpartition(b")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            ticks += sum(map(int, fields[11:15]))  # utime, stime and those of children already waited for
            tasks += int(fields[17])
            pages += int(fields[21])
        return ticks / _TICKS, pages * _PAGE, tasks

    def _files(self) -> tuple[str, str] | None:
        scratch, most = self.room.scratch, self.limits["file_mib"] << 20
        if self.room.isolation == "bubblewrap":  # a tmpfs of its own: the kernel counts
            disk = os.statvfs(scratch)
            count, size = disk.f_files - disk.f_ffree, 0
        else:
            count, size = self._walk(scratch)
        if count > MOST_FILES:
            return "output_limit", f"more than {MOST_FILES} files"
        return ("output_limit", f"more than {self.limits['file_mib']} MiB of files") if size > most else None

    @staticmethod
    def _walk(scratch: str) -> tuple[int, int]:
        """Entries and bytes below a folder, by a list and not by recursion: hostile folders are deep."""
        count = size = 0
        waiting = [scratch]
        while waiting and count <= MOST_FILES:
            try:
                with os.scandir(waiting.pop()) as entries:
                    for entry in entries:
                        count += 1
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
            except OSError:  # gone meanwhile, or a path longer than the kernel takes
                continue
        return count, size
