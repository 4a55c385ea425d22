#!/usr/bin/env python3
"""Many small hosts on one machine: an sshd each, at an address of its own, in a mount namespace of its own.

    farm.py FOLDER COUNT JOB

Run by `large.py` as the first process of new network, process and mount namespaces: nothing outside can be reached or
is changed, and all of it ends with this process. Prints what JOB measured as JSON.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent))

from measure import stolen, ticks  # noqa: E402

MK = ROOT / "target/release/mk"

# What a host has of its own. The tmpfs for content keeps the disk out of the comparison.
HOST = """
mkdir -p /run/mk /var/lib/mk
mount --bind "$1/run" /run/mk && mount --bind "$1/lib" /var/lib/mk && mount -t tmpfs content /srv
# What this machine's root has its shell do at every login is no part of the hosts.
if [ -e /root/.bashrc ]; then mount --bind /dev/null /root/.bashrc; fi
exec /usr/sbin/sshd -D -e -f "$1/sshd_config" 2>"$1/log"
"""


def address(number):
    """The address of a host."""
    return f"127.75.{number // 250}.{number % 250 + 1}"


def must(*argv, **options):
    """Runs a command that has to succeed."""
    return subprocess.run([str(word) for word in argv], check=True, **options)


def raise_hosts(folder, count):
    """Starts the hosts, and writes the inventory and the ssh configuration that reach them."""
    must("ip", "link", "set", "lo", "up")
    folder.mkdir(parents=True, exist_ok=True)
    for key in ["host", "user"]:
        if not (folder / key).exists():
            must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key)
    Path("/run/sshd").mkdir(exist_ok=True)
    public = " ".join((folder / "host.pub").read_text().split()[:2])
    hosts = []
    for number in range(count):
        own = folder / f"h-{number}"
        for part in ["run", "lib"]:
            (own / part).mkdir(parents=True, exist_ok=True)
        (own / "sshd_config").write_text(f"ListenAddress {address(number)}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
                                         "StrictModes no\nUsePAM no\nPidFile none\nSubsystem sftp internal-sftp\n")
        subprocess.Popen(["unshare", "--mount", "sh", "-c", HOST, "host", str(own)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        hosts.append(f"  h-{number}: {{ ways: [{{ ssh: {{ address: {address(number)}, user: root, keys: [{folder}/user], host_keys: [\"{public}\"] }} }}] }}\n")
    (folder / "inventory.yml").write_text("hosts:\n" + "".join(hosts))
    (folder / "known_hosts").write_text(f"127.75.* {public}\n")
    (folder / "ssh_config").write_text(f"Host *\n  User root\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n"
                                       f"  UserKnownHostsFile {folder}/known_hosts\n  StrictHostKeyChecking yes\n  LogLevel ERROR\n")
    end = time.monotonic() + 30 + count
    for number in range(count):
        while not greets(address(number)):
            if time.monotonic() > end:
                raise SystemExit(f"the sshd of h-{number} does not answer:\n{(folder / f'h-{number}/log').read_text()}")
            time.sleep(0.05)


def greets(host):
    """Whether an sshd answers there."""
    try:
        with socket.create_connection((host, 22), 5) as link:
            return link.recv(4) == b"SSH-"
    except OSError:
        return False


def watched(argv, folder):
    """Runs a command; gives its seconds, processor seconds and peak of memory, and what it read of files, in bytes."""
    own = {**os.environ, "XDG_STATE_HOME": f"{folder}/state", "XDG_CACHE_HOME": f"{folder}/cache"}
    with open(folder / "output", "w+") as output:
        begun, at_first = time.monotonic(), ticks()
        process = subprocess.Popen([str(word) for word in argv], stdout=output, stderr=subprocess.STDOUT, env=own, cwd=folder)
        read = 0
        while True:
            try:
                # What is read from connections is not in it: they are received from.
                read = max(read, int(Path(f"/proc/{process.pid}/io").read_text().split()[1]))
            except (OSError, IndexError):
                pass
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(0.005)
        seconds = time.monotonic() - begun
        output.seek(0)
        text = output.read()
    if status != 0:
        raise SystemExit(f"`{' '.join(map(str, argv))}` ended with {status}:\n{text[-3000:]}")
    return {"seconds": round(seconds, 3), "cpu": round(usage.ru_utime + usage.ru_stime, 3), "stolen": stolen(at_first), "memory_mb": round(usage.ru_maxrss / 1024, 1), "read_mb": round(read / 1e6, 1)}


# Twenty steps of the usual kinds.
STEPS = """on("all", |host| {
    host.dir("/srv/app", #{ mode: "0755" });
    host.dir("/srv/app/data", #{ mode: "0750" });
    for n in range(0, 8) { host.copy(`/srv/app/file-${n}`, #{ content: `file ${n} of ${host.name}\\n`, mode: "0644" }); }
    for n in range(0, 4) { host.line("/srv/app/lines", #{ line: `line ${n}`, create: true }); }
    host.block("/srv/app/block", #{ name: "bench", content: "a\\nb\\n", create: true });
    host.file("/srv/app/link", #{ state: "link", target: "block" });
    host.file("/srv/app/empty");
    host.run(["touch", "/srv/app/ran"], #{ creates: "/srv/app/ran" });
    host.run(["true"], #{ reads: true });
    host.facts(#{ only: ["arch"] });
});
"""


def many(folder, count):
    """20 steps: first, with the agent copied to each host, and again with nothing to do."""
    (folder / "many.rhai").write_text(STEPS)
    argv = [MK, "run", "many.rhai", "-i", "inventory.yml"]
    for case in ["first", "again"]:
        yield case, "mk", watched(argv, folder)
        text = (folder / "output").read_text()
        if f"{'recap of' if case == 'first' else 'nothing changed on'} {count} hosts" not in text or "failed" in text:
            raise SystemExit(f"{case} on {count} hosts:\n{text[-3000:]}")


# What the agent took: it is the parent of the shell that is asked. The clock of /proc counts hundredths of a second.
AGENT = 'log("agent " + host.shell("set -- $(cut -d \')\' -f2- /proc/$PPID/stat); echo $((${12} + ${13})) $(grep VmHWM /proc/$PPID/status)", #{ reads: true }).stdout);'


def growth(folder, _):
    """One host: what mk and the agent take for more and more steps, and for trees of more and more files."""
    def measured(case, body):
        (folder / "growth.rhai").write_text(f'on("all", |host| {{\n{body}\n    {AGENT}\n}});\n')
        row = watched([MK, "run", "growth.rhai", "-i", "inventory.yml"], folder)
        words = (folder / "output").read_text().split("agent ", 1)[1].split()
        return case, "mk", {**row, "agent_cpu": int(words[0]) / 100, "agent_memory_mb": round(int(words[2]) / 1024, 1)}

    measured("", "")
    for steps in [10, 100, 1000]:
        body = f"    for n in range(0, {steps}) {{ host.copy(`/srv/{steps}-${{n}}`, #{{ content: `file ${{n}}\n`, mode: \"0644\" }}); }}"
        yield measured(f"{steps:,} files of a step each, first", body)
        yield measured(f"{steps:,} files of a step each, again", body)
    for files in [100, 1000, 10_000]:
        source = folder / f"files/tree-{files}"
        for number in range(0 if source.exists() else files):
            (source / str(number // 100)).mkdir(parents=True, exist_ok=True)
            (source / str(number // 100) / str(number)).write_bytes(os.urandom(3072) + bytes(1024))
        body = f'    host.tree("/srv/tree-{files}", #{{ src: "tree-{files}" }});'
        yield measured(f"a tree of {files:,} files, first", body)
        yield measured(f"a tree of {files:,} files, again", body)


SIZE = 200_000_000


def transfer(folder, count):
    """A file of 200 MB to all hosts at once, beside scp."""
    big = folder / "files/big"
    if not big.exists() or big.stat().st_size != SIZE:
        big.parent.mkdir(exist_ok=True)
        with open(big, "wb") as out:
            for _ in range(SIZE // 1_000_000):
                out.write(os.urandom(1_000_000))
    (folder / "transfer.rhai").write_text('on("all", |host| { host.copy("/srv/big", #{ src: "big", mode: "0644" }); });\n')
    (folder / "connect.rhai").write_text('on("all", |host| { host.run(["true"], #{ reads: true }); });\n')
    own = [MK, "run", "-i", "inventory.yml"]
    watched(own + ["connect.rhai"], folder)
    yield "connect and one step", "mk", watched(own + ["connect.rhai"], folder)
    yield "first", "mk", watched(own + ["transfer.rhai"], folder)
    sums(folder, count)
    yield "nothing to do", "mk", watched(own + ["transfer.rhai"], folder)
    on_all(folder, count, "rm /srv/big")
    each = " ".join(address(number) for number in range(count))
    copies = f'for host in {each}; do scp -q -F ssh_config files/big "$host:/srv/big" & all="$all $!"; done; for one in $all; do wait "$one" || exit 1; done'
    taken = watched(["sh", "-c", copies], folder)
    # The shell's memory and what it read itself say nothing of scp.
    yield "first", "scp", {name: taken[name] for name in ["seconds", "cpu", "stolen"]}
    sums(folder, count)


def on_all(folder, count, command):
    """Runs a command on all hosts, and gives what each printed."""
    started = [subprocess.Popen(["ssh", "-F", str(folder / "ssh_config"), address(n), command], stdout=subprocess.PIPE, text=True) for n in range(count)]
    printed = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit(f"`{command}` failed on a host")
    return printed


def sums(folder, count):
    """Fails unless every host has the whole file."""
    import hashlib
    with open(folder / "files/big", "rb") as source:
        expected = hashlib.file_digest(source, "sha256").hexdigest()
    for number, printed in enumerate(on_all(folder, count, "sha256sum /srv/big")):
        if printed.split()[:1] != [expected]:
            raise SystemExit(f"h-{number} has another file: {printed}")


def main():
    folder, count, job = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    raise_hosts(folder, count)
    result = [{"case": case, "tool": tool, **row} for case, tool, row in {"many": many, "transfer": transfer, "growth": growth}[job](folder, count)]
    print(json.dumps(result))


main()
