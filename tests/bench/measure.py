"""Measuring: a quiet machine before, the clock around, what is known of the machine beside it."""

import datetime
import json
import os
import platform
import resource
import subprocess
import time

from lab import HERE, ROOT, must


def ticks():
    """The processors' time so far: all of it, idle, and taken by other machines on the same hardware."""
    values = [int(word) for word in open("/proc/stat").readline().split()[1:9]]
    return sum(values), values[3] + values[4], values[7]


def stolen(since):
    """The share of the processors' time that other machines took, 0 to 1, since `ticks` gave this."""
    total, _, taken = ticks()
    return round((taken - since[2]) / max(1, total - since[0]), 3)


def busy(seconds=2.0):
    """The share of the processors' time that was used, 0 to 1, over some seconds."""
    total, idle, _ = ticks()
    time.sleep(seconds)
    total_now, idle_now, _ = ticks()
    return 1 - (idle_now - idle) / max(1, total_now - total)


def quiet(patience):
    """Waits until the machine does nothing else, at most `patience` seconds; gives how busy it was at last.

    The load average is noted as well, but not waited for: for a minute it tells of our own last run.
    """
    end = time.monotonic() + patience
    while True:
        share = busy()
        if share < 0.15 or time.monotonic() >= end:
            return {"busy": round(share, 3), "load": round(os.getloadavg()[0], 2)}


def timed(argv, **options):
    """Runs a command; gives seconds, the processor seconds of it and its children on this side, what others took, code and output."""
    at_first = ticks()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    done = subprocess.run([str(word) for word in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **options)
    seconds = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(seconds, 4), "cpu": round(cpu, 3), "stolen": stolen(at_first)}, done.returncode, done.stdout


def machine():
    """What the numbers were measured on."""
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    return {"cpu": cpu, "cores": os.cpu_count(), "memory_gb": round(memory / 1e6), "kernel": platform.release()}


def commit():
    """The commit that mk was built from; with `+` when files in use differ from it."""
    name = must(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"]).strip()
    changed = must(["git", "-C", ROOT, "status", "--porcelain", "--", "src", "stdlib", "Cargo.toml", "Cargo.lock"])
    return name + ("+" if changed else "")


def write(scenario, result):
    """Keeps a scenario's raw result."""
    kept = {"scenario": scenario, "date": datetime.date.today().isoformat(), "commit": commit(), "machine": machine(), **result}
    path = HERE / "results" / f"{scenario}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    print(f"written: {path.relative_to(ROOT)}")
