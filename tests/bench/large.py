"""Scenarios of many hosts and of much content, whose hosts `farm.py` makes; and the labs of the hard way, run again."""

import ipaddress
import json
import os
import shutil
import sys

import lab
from measure import quiet, timed, write

COUNTS = [10, 100, 1000]


def farm(job, count):
    """Has that many fresh hosts made, and gives what the job measured on them."""
    folder = lab.WORK / f"farm-{count}"
    for old in [*folder.glob("h-*"), folder / "state", folder / "cache"]:
        shutil.rmtree(old, ignore_errors=True)
    apart = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "--mount"]
    printed = lab.must([*apart, sys.executable, lab.HERE / "farm.py", folder, count, job])
    for old in folder.glob("h-*"):
        shutil.rmtree(old, ignore_errors=True)
    return json.loads(printed.splitlines()[-1])


def collect(name, jobs, options, notes):
    """Measures jobs in turns: each has a name, a number of hosts and what is put behind the label of its cases."""
    from scenarios import show
    found = {}
    for number in range(1, options.rounds + 1):
        for job, count, behind in jobs:
            state = quiet(options.patience)
            for row in farm(job, count):
                label = row.pop("case") + behind
                found.setdefault(label, []).append({"round": number, **row, **state})
                print(f"  round {number}: {label}: {row}", flush=True)
    for label, rows in found.items():
        show(label, rows)
    write(name, {"cases": found, **notes})


def transfer(_, options):
    """One file of 200 MB to 13 hosts, beside scp."""
    collect("transfer", [("transfer", 13, "")], options, {"size_mb": 200, "hosts": 13})


def many(_, options):
    """10, 100 and 1,000 hosts: 20 steps first, and again."""
    counts = [int(count) for count in options.counts.split(",")] if options.counts else COUNTS
    collect("many", [("many", count, f", {count:,} hosts") for count in counts], options, {"steps": 20, "counts": counts})


def growth(_, options):
    """One host: what mk and the agent take for ten, a hundred and a thousand times as much."""
    collect("growth", [("growth", 1, "")], options, {})


def pods(inventory):
    """The command that asks of the pods on a cluster what the smoke test does, from a script on its first controller."""
    hosts = json.loads(lab.must([lab.MK, "inventory", "-i", inventory, "--json"]))["hosts"]
    first = hosts["controller-1"]
    known = first["ways"][0]["ssh"]
    login = f"ssh -F none -i {known['keys'][0]} -o UserKnownHostsFile={known['known_hosts']} {known['user']}@{known['address']}"
    api = ipaddress.ip_network(first["vars"]["service_network"])[1]
    workers = " ".join(name for name, host in hosts.items() if "workers" in host["groups"])
    # The lab makes its images itself.
    there = f"there=$(mktemp -d) && tar -x -C $there && bash $there/pods mk.local/toolbox:1 {api} {workers}; code=$?; rm -r $there; exit $code"
    return ["sh", "-c", f"tar -c -C {lab.HERE} pods -C {lab.ROOT}/stdlib/smoke . | {login} '{there}'"]


def hard_way(_, options):
    """All labs once more on a cluster that they have built: what is left when nothing is to be done.

    The smoke test tries everything anew each time. Beside it runs a script that does with kubectl what it does with pods.
    """
    from scenarios import show
    trace, breakdown, cases = lab.WORK / "hard-way.json", [], {}
    script = pods(options.inventory)

    def keep(label, number, tool, taken, state):
        cases.setdefault(label, []).append({"round": number, "tool": tool, **taken, **state})

    argv = [lab.MK, "run", options.playbook, "-i", options.inventory, f"--profile={trace}"]
    for number in range(1, options.rounds + 1):
        state = quiet(options.patience)
        taken, code, output = timed(argv, env={**os.environ, "MK_LOCK_WAIT": "60s"}, cwd=lab.ROOT)
        if code != 0 or "nothing changed on " not in output:
            raise SystemExit(f"it ended with {code}, and is to be a run that changes nothing; build the cluster first:\n{output[-3000:]}")
        keep("second run", number, "mk", taken, state)
        told = json.loads(trace.read_text())
        breakdown.append(told["otherData"])
        smoke = [event["dur"] / 1e6 for event in told["traceEvents"] if event["name"].endswith("/12-smoke-test.rhai")]
        if not smoke:
            continue
        rest = {"stolen": taken["stolen"], **state}
        keep("of it the labs", number, "mk", {"seconds": round(taken["seconds"] - smoke[0], 4)}, rest)
        keep("of it the smoke test", number, "mk", {"seconds": round(smoke[0], 4)}, rest)
        state = quiet(options.patience)
        taken, code, output = timed(script)
        if code != 0:
            raise SystemExit(f"the script ended with {code}:\n{output[-3000:]}")
        keep("of it the smoke test", number, "pods", taken, state)
    for label, rows in cases.items():
        show(label, rows)
    middle = sorted(breakdown, key=lambda one: one["wall"])[len(breakdown) // 2]
    parts = {part: sum(host[part] for host in middle["hosts"].values()) / len(middle["hosts"]) / 1e6 for part in next(iter(middle["hosts"].values()))}
    print("  a host's mean: " + ", ".join(f"{part} {seconds:.2f} s" for part, seconds in parts.items()))
    write("hard-way", {"cases": cases, "hosts": len(middle["hosts"]), "mean_seconds": parts, "micros": middle["hosts"]})
