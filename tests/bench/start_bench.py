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


def milliseconds(argv: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - begin) * 1000


def libraries(program: str) -> list[str]:
    shown = subprocess.run(["objdump", "-p", program], capture_output=True, text=True, check=True).stdout
    return [line.split()[1] for line in shown.splitlines() if line.split()[:1] == ["NEEDED"]]


def main() -> None:
    for program in PROGRAMS:
        print(f"{os.path.basename(program):20} {os.path.getsize(program) / 1e6:6.1f} MB, needs {' '.join(libraries(program)) or 'nothing'}")
    # In turns, so that whatever else the machine does falls on both.
    taken: dict[str, list[float]] = {"slipway": [], "true": []}
    for _ in range(ROUNDS):
        taken["slipway"].append(milliseconds([CLI, "version", "--client"]))
        taken["true"].append(milliseconds(["/bin/true"]))
    for name, times in taken.items():
        print(f"{name:20} {min(times):6.1f} ms at best, {statistics.median(times):.1f} median, {sorted(times)[int(len(times) * 0.99)]:.1f} p99")
    print(f"{'ratio of medians':20} {statistics.median(taken['slipway']) / statistics.median(taken['true']):6.1f}")


if __name__ == "__main__":
    main()
