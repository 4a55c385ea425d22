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


def latency(hosts, options):
    """One host, a round trip of 50 ms away: 30 steps that need each other, then 30 that do not."""
    address = next(address for name, address, _ in hosts if name == HOST)
    proxy = f"{lab.HERE}/delay 50 {address} 22"
    far = lab.WORK / "far/inventory.yml"
    far.parent.mkdir(exist_ok=True)
    far.write_text(f"hosts:\n  far:\n    ways:\n      - ssh: {{ address: {address}, user: root, keys: [{lab.STATE}/id_ed25519], "
                   f"known_hosts: {lab.STATE}/known_hosts, proxy: \"{proxy}\" }}\n")
    own = lab.mk_environment()

    def there(name, body):
        return [lab.MK, "run", script(name, f'on("far", |host| {{\n{body}\n}});\n'), "-i", far.parent]

    one = there("far-one", '    host.run(["true"], #{ reads: true });')
    dependent = there("far-dependent", '    let last = "0";\n    for n in range(0, 30) {\n'
                      '        last = host.run(["echo", last + n], #{ reads: true }).stdout;\n    }')
    independent = there("far-independent", '    for n in range(0, 30) {\n'
                        '        host.file(`/srv/bench/independent-${n}`, #{ mode: "0644" });\n    }')
    lab.must(ssh("mkdir -p /srv/bench"))
    lab.must(independent, env=own, cwd=lab.WORK)
    plain = ["ssh", "-F", lab.SSH_CONFIG, "-o", f"ProxyCommand={proxy}", HOST, "true"]
    collect("latency", hosts, options, [
        ("connect and one step", "mk", None, one, own),
        ("connect and one step", "ssh", None, plain, os.environ.copy()),
        ("30 dependent steps", "mk", None, dependent, own),
        ("30 independent steps", "mk", None, independent, own),
    ], {"round_trip_ms": 50})


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
