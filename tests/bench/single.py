"""Scenarios of one host or none."""

import os
import shutil
import subprocess
import time

import lab
from measure import quiet, timed, write

HOST = "controller-1"


def collect(name, hosts, options, cases, notes=None):
    """Measures cases in turns: each has a label, a tool, what is done before, a command and its environment."""
    found = {}
    for number in range(1, options.rounds + 1):
        for label, tool, before, argv, environment in cases:
            if before:
                before()
            state = quiet(options.patience)
            taken, code, output = timed(argv, env=environment, cwd=lab.WORK)
            if code != 0:
                raise SystemExit(f"{name}, {label}: {tool} ended with {code}:\n{output[-3000:]}")
            found.setdefault(label, []).append({"round": number, "tool": tool, **taken, **state})
    from scenarios import show
    for label, rows in found.items():
        show(label, rows)
    write(name, {"cases": found, **(notes or {})})


def mk(*words):
    """mk with the benchmark's inventory, on one host."""
    return [lab.MK, "run", *words, "-i", lab.INVENTORY]


def script(name, text):
    """A playbook among the benchmark's own files."""
    path = lab.WORK / f"{name}.rhai"
    path.write_text(text)
    return path


def connect():
    """A run that connects and does one thing that reads: what any run costs before its first step."""
    return script("connect", f'on("{HOST}", |host| {{ host.run(["true"], #{{ reads: true }}); }});\n')


def ssh(*words):
    """The plain ssh client, with the peers' configuration."""
    return ["ssh", "-F", lab.SSH_CONFIG, HOST, *words]


def start(hosts, options):
    """mk --version, and mk lint over the tree of playbooks."""
    own = lab.mk_environment()
    collect("start", hosts, options, [
        ("mk --version", "mk", None, [lab.MK, "--version"], own),
        ("mk lint playbooks/", "mk", None, [lab.MK, "lint", lab.ROOT / "playbooks"], own),
    ])


def converged(hosts, options):
    """500 files on one host that are as they should be."""
    own = lab.mk_environment()
    many = script("converged", f'on("{HOST}", |host| {{ for n in range(0, 500) {{\n'
                  '    host.copy(`/srv/bench/converged/${n}`, #{ content: `file ${n}\n`, mode: "0644" });\n'
                  '} });\n')
    folder = script("converged-folder", f'on("{HOST}", |host| {{ host.dir("/srv/bench/converged"); }});\n')
    lab.must(mk(folder), env=own, cwd=lab.WORK)
    lab.must(mk(many), env=own, cwd=lab.WORK)
    collect("converged", hosts, options, [
        ("connect and one step", "mk", None, mk(connect()), own),
        ("500 files, nothing to do", "mk", None, mk(many), own),
    ])


def tree(hosts, options):
    """A tree of 10,000 files, 40 MB: first, then unchanged, beside rsync."""
    if not shutil.which("rsync"):
        raise SystemExit("tree: there is no `rsync` on this machine to compare with; install it")
    source = lab.WORK / "files/tree"
    if not (source / "99/99").exists():
        shutil.rmtree(source, ignore_errors=True)
        for one in range(100):
            (source / str(one)).mkdir(parents=True)
            for two in range(100):
                (source / str(one) / str(two)).write_bytes(os.urandom(3072) + bytes(1024))
    own = lab.mk_environment()
    play = script("tree", f'on("{HOST}", |host| {{ host.tree("/srv/bench/tree", #{{ src: "tree" }}); }});\n')
    rsync = ["rsync", "-a", "-e", f"ssh -F {lab.SSH_CONFIG}", f"{source}/", f"{HOST}:/srv/bench/tree/"]

    def clean():
        lab.must(ssh("rm -rf /srv/bench/tree; mkdir -p /srv/bench; sync"))

    collect("tree", hosts, options, [
        ("connect and one step", "mk", None, mk(connect()), own),
        ("first", "mk", clean, mk(play), own),
        ("unchanged", "mk", None, mk(play), own),
        ("first", "rsync", clean, rsync, os.environ.copy()),
        ("unchanged", "rsync", None, rsync, os.environ.copy()),
    ])


def delay(milliseconds):
    """Delays what goes into the lab by so much, so that a round trip takes as long; none with 0."""
    subprocess.run(["tc", "qdisc", "del", "dev", "mkbench0", "root"], capture_output=True)
    if milliseconds:
        lab.must(["tc", "qdisc", "add", "dev", "mkbench0", "root", "netem", "delay", f"{milliseconds}ms"])


def latency(hosts, options):
    """One host, a round trip of 50 ms away: 30 steps that need each other, then 30 that do not."""
    own = lab.mk_environment()
    dependent = script("dependent", f'on("{HOST}", |host| {{\n    let last = "0";\n    for n in range(0, 30) {{\n'
                       '        last = host.run(["echo", last + n], #{ reads: true }).stdout;\n    }\n});\n')
    independent = script("independent", f'on("{HOST}", |host| {{ for n in range(0, 30) {{ host.file(`/srv/bench/independent-${{n}}`, #{{ mode: "0644" }}); }} }});\n')
    lab.must(ssh("mkdir -p /srv/bench"))
    lab.must(mk(independent), env=own, cwd=lab.WORK)
    delay(50)
    try:
        collect("latency", hosts, options, [
            ("connect and one step", "mk", None, mk(connect()), own),
            ("connect and one step", "ssh", None, ssh("true"), os.environ.copy()),
            ("30 dependent steps", "mk", None, mk(dependent), own),
            ("30 independent steps", "mk", None, mk(independent), own),
        ], {"round_trip_ms": 50})
    finally:
        delay(0)


def output(hosts, options):
    """How long after a remote command printed something it is on this side's terminal."""
    own = lab.mk_environment()
    play = script("output", f'on("{HOST}", |host| {{ host.shell("date +mark-%s.%N; sleep 0.5"); }});\n')
    rows = []
    for number in range(1, options.rounds + 1):
        state = quiet(options.patience)
        with subprocess.Popen([str(word) for word in mk("-vv", play)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=own, cwd=lab.WORK) as process:
            late, text = None, b""
            while chunk := os.read(process.stdout.fileno(), 65536):
                text += chunk
                # The command's own text names `mark-%s`, so the digits are what tells.
                mark = text.find(b"mark-1")
                if late is None and mark >= 0:
                    late = time.time() - float(text[mark + 5:].split()[0])
        if process.returncode != 0 or late is None:
            raise SystemExit(f"output: mk ended with {process.returncode} and showed no mark:\n{text.decode(errors='replace')}")
        rows.append({"round": number, "tool": "mk", "seconds": round(late, 4), **state})
    from scenarios import show
    show("from the host's clock to this side", rows)
    write("output", {"cases": {"from the host's clock to this side": rows}})
