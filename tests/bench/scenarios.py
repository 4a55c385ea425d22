"""What is measured. Each scenario takes the hosts and the options, and writes one result."""

import statistics

import lab
import peers
from measure import quiet, timed, write

from large import growth, hard_way, many, transfer
from single import converged, latency, output, start, tree


def median(values):
    """The middle one of some numbers."""
    return statistics.median(values)


def show(label, samples):
    """Prints medians with their spread, and how often slower than mk each tool is."""
    base = {row["round"]: row["seconds"] for row in samples if row["tool"] == "mk"}
    print(f"{label}:")
    for tool in dict.fromkeys(row["tool"] for row in samples):
        own = [row for row in samples if row["tool"] == tool]
        seconds = [row["seconds"] for row in own]
        line = f"  {tool:8} {median(seconds):8.3f} s ({min(seconds):.3f} to {max(seconds):.3f})"
        ratios = [row["seconds"] / base[row["round"]] for row in own if row["round"] in base]
        if ratios and tool != "mk":
            line += f"   {median(ratios):7.2f} × mk ({min(ratios):.2f} to {max(ratios):.2f})"
        print(line, flush=True)


def steps(hosts, options):
    """13 hosts × 15 steps: the first run, then one with nothing to do."""
    every = peers.commands(hosts)
    tools = options.tools.split(",") if options.tools else list(every)
    first, again, expected, wrong = [], [], None, []
    for number in range(1, options.rounds + 1):
        # Each round begins with another tool, so that none always follows the same one.
        turn = (number - 1) % len(tools)
        for tool in tools[turn:] + tools[:turn]:
            argv, environment = every[tool]
            lab.reset(hosts)
            for rows, must_change in [(first, True), (again, False)]:
                lab.forget_connections()
                before = quiet(options.patience)
                taken, code, output = timed(argv, env=environment, cwd=lab.WORK)
                (lab.WORK / f"{tool}.{'first' if must_change else 'again'}.log").write_text(output)
                if code != 0 or peers.changed(tool, output) != must_change:
                    raise SystemExit(f"{tool} ended with {code}, {'first' if must_change else 'second'} run:\n{output[-3000:]}")
                rows.append({"round": number, "tool": tool, **taken, **before})
                print(f"  round {number}: {tool:8} {'first' if must_change else 'again'} {taken['seconds']:.2f} s, machine {before['busy']:.0%} busy before", flush=True)
                found = lab.state(hosts)
                expected = expected or found
                for line in lab.differences(expected, found):
                    if f"{tool}: {line}" not in wrong:
                        wrong.append(f"{tool}: {line}")
    show("first run", first)
    show("nothing to do", again)
    for line in wrong[:40]:
        print(f"  not the same state: {line}")
    if not options.tools:
        write("steps", {"hosts": len(hosts), "steps": 15, "parallel": len(hosts), "versions": peers.VERSIONS, "same_state": not wrong,
                        "differences": wrong[:200], "cases": {"first run": first, "nothing to do": again}})
    if wrong:
        raise SystemExit("the tools left different states")


ALL = {"steps": steps, "start": start, "converged": converged, "tree": tree, "latency": latency, "output": output, "transfer": transfer, "many": many, "growth": growth, "hard-way": hard_way}
# Those that make their own hosts.
APART = ["start", "transfer", "many", "growth", "hard-way"]
