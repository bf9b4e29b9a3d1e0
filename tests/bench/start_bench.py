#!/usr/bin/env python3
"""Size of the command and how long it takes to start, against /bin/true in turns, and what libraries each program needs:
start_bench.py BUILD [ROUNDS]
"""
import os
import statistics
import subprocess
import sys
import time

BUILD = os.path.abspath(sys.argv[1])
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 200
CLI = f"{BUILD}/clients/cli/slipway"
PROGRAMS = (CLI, f"{BUILD}/executor/slipway-executor", f"{BUILD}/controller/slipway-controller")


def started(argv: list[str]) -> tuple[float, float]:
    """Milliseconds from start to end, and of CPU, which other work on the machine changes less."""
    begin = time.perf_counter()
    process = os.posix_spawn(argv[0], argv, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
    _, status, usage = os.wait4(process, 0)
    if status != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with {os.waitstatus_to_exitcode(status)}")
    return (time.perf_counter() - begin) * 1000, (usage.ru_utime + usage.ru_stime) * 1000


def libraries(program: str) -> list[str]:
    shown = subprocess.run(["objdump", "-p", program], capture_output=True, text=True, check=True).stdout
    return [line.split()[1] for line in shown.splitlines() if line.split()[:1] == ["NEEDED"]]


def main() -> None:
    for program in PROGRAMS:
        print(f"{os.path.basename(program):20} {os.path.getsize(program) / 1e6:6.1f} MB, needs {' '.join(libraries(program)) or 'nothing'}")
    # In turns, so that whatever else the machine does falls on both.
    commands = {"slipway": [CLI, "version", "--client"], "true": ["/bin/true"]}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, argv in commands.items():
            taken[name].append(started(argv))
    median = {}
    for name, times in taken.items():
        wall, cpu = ([one[part] for one in times] for part in (0, 1))
        median[name] = statistics.median(wall)
        print(f"{name:20} {min(wall):6.1f} ms at best, {median[name]:.1f} median; of CPU {min(cpu):.1f} and {statistics.median(cpu):.1f}")
    print(f"{'ratio of medians':20} {median['slipway'] / median['true']:6.1f}")


if __name__ == "__main__":
    main()
