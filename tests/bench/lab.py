"""The benchmark's own lab: the thirteen hosts of inventories/lab under another name and in another network."""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "target/bench"
INVENTORY = WORK / "inventory"
STATE = Path("/var/lib/mk/bench")
SSH_CONFIG = WORK / "ssh_config"
MASTERS = WORK / "masters"
MK = ROOT / "target/release/mk"


def must(argv, **options):
    """Runs a command that has to succeed, and gives what it printed."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise SystemExit(f"`{' '.join(map(str, argv))}` ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def mk_environment():
    """mk's own state and cache go with the benchmark, not with whoever runs it."""
    return {**os.environ, "XDG_STATE_HOME": str(WORK / "state"), "XDG_CACHE_HOME": str(WORK / "cache"), "MK_LOCK_WAIT": "60s"}


def describe():
    """Writes the inventory and the peers' ssh configuration, and gives the hosts: name, address, jump."""
    text = (ROOT / "inventories/lab/inventory.yml").read_text()
    text = text.replace("name: lab #", "name: bench #").replace("cluster: lab", "cluster: bench")
    text = text.replace("10.77", "10.75").replace("/var/lib/mk/lab", str(STATE))
    text = re.sub(r"(?m)^  overlay:.*\n", "", text)
    INVENTORY.mkdir(parents=True, exist_ok=True)
    (INVENTORY / "inventory.yml").write_text(text)
    hosts = []
    for name, address, rest in re.findall(r'(?m)^  "?([a-z]+(?:-\[\d\.\.\d\])?)"?:\n    ways:\n      - ssh: \{ address: "?([\d.{}n]+)"?, (.*) \}$', text):
        jump = "jumpbox" if "jump: [jumpbox]" in rest else None
        span = re.search(r"\[(\d)\.\.(\d)\]", name)
        numbers = range(int(span[1]), int(span[2]) + 1) if span else [None]
        hosts += [(re.sub(r"\[.*\]", str(n), name), address.replace("{n}", str(n)), jump) for n in numbers]
    assert len(hosts) == 13, f"13 hosts are expected in inventories/lab, {len(hosts)} were read"
    entries = []
    for name, address, jump in hosts:
        entries.append(f"Host {name}\n  HostName {address}\n" + (f"  ProxyJump {jump}\n" if jump else ""))
    entries.append(f"Host *\n  User root\n  IdentityFile {STATE}/id_ed25519\n  IdentitiesOnly yes\n"
                   f"  UserKnownHostsFile {STATE}/known_hosts\n  StrictHostKeyChecking yes\n  LogLevel ERROR\n")
    SSH_CONFIG.write_text("\n".join(entries))
    return hosts


def on_all(hosts, command, stdin=None):
    """Runs a shell command on all hosts at once, and gives what each printed, by name."""
    def one(host):
        return host[0], must(["ssh", "-F", SSH_CONFIG, host[0], command], input=stdin)
    with ThreadPoolExecutor(len(hosts)) as pool:
        return dict(pool.map(one, hosts))


def up():
    """Raises the lab and gives it what the peers need; what is there stays. Gives the hosts."""
    hosts = describe()
    MASTERS.mkdir(parents=True, exist_ok=True)
    print("raising the lab …", flush=True)
    must([MK, "run", ROOT / "playbooks/lab/up.rhai", "-i", INVENTORY], env={**os.environ, "MK_LOCK_WAIT": "60s"})
    on_all(hosts, "sh -s prepare", (HERE / "reset").read_text())
    return hosts


def down():
    """Takes the lab away."""
    describe()
    must([MK, "run", ROOT / "playbooks/lab/down.rhai", "-i", INVENTORY], env={**os.environ, "MK_LOCK_WAIT": "60s"})


def reset(hosts):
    """Puts all hosts back to before any tool's first run, and forgets what is kept on this side."""
    forget_connections()
    on_all(hosts, "sh -s reset", (HERE / "reset").read_text())
    for kept in ["state", "cache", "ansible"]:
        subprocess.run(["rm", "-rf", str(WORK / kept)], check=True)


def forget_connections():
    """Ends the connections that ssh keeps open for Ansible, so that each run makes its own."""
    for socket in MASTERS.glob("*"):
        subprocess.run(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "any"], capture_output=True)


def state(hosts):
    """What is on each host now of what the steps may touch: a list of lines by name."""
    found = on_all(hosts, "sh -s state", (HERE / "reset").read_text())
    return {name: text.splitlines() for name, text in found.items()}


def differences(expected, found):
    """Where two states differ, as `HOST: < LINE` and `HOST: > LINE`."""
    told = []
    for name in expected:
        old, new = set(expected[name]), set(found[name])
        told += [f"{name}: < {line}" for line in sorted(old - new)] + [f"{name}: > {line}" for line in sorted(new - old)]
    return told
