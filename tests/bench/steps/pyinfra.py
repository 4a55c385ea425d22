"""The benchmark's fifteen steps, for pyinfra."""
import os

from pyinfra import host, inventory
from pyinfra.operations import apt, files, server, systemd

folder = os.environ["BENCH_FILES"]
names = {"node": host.name, "peers": [one.name for one in inventory]}

apt.packages(packages=["socat", "conntrack", "netcat-openbsd"])
server.group(group="bench", gid=1990)
server.user(user="bench", uid=1990, group="bench", home="/var/lib/bench", create_home=False, ensure_home=False, shell="/usr/sbin/nologin")
files.directory("/etc/bench", mode="755", user="root", group="root")
files.directory("/var/lib/bench", mode="750", user="bench", group="bench")
files.put(f"{folder}/bench-app", "/usr/local/bin/bench-app", mode="755")
files.put(f"{folder}/app.conf", "/etc/bench/app.conf", mode="640", user="root", group="bench")
files.put(f"{folder}/data", "/var/lib/bench/data", mode="644", user="bench", group="bench")
files.template(f"{folder}/node.conf.j2", "/etc/bench/node.conf", mode="644", **names)
files.template(f"{folder}/motd.j2", "/etc/motd", mode="644", **names)
files.line("/etc/login.defs", r"^UMASK\s.*", replace="UMASK\t\t027")
files.line("/etc/security/limits.conf", "bench soft nofile 4096")
server.sysctl(key="net.core.somaxconn", value=2048, persist=True, persist_file="/etc/sysctl.d/60-bench.conf")
unit = files.put(f"{folder}/bench.service", "/etc/systemd/system/bench.service", mode="644")
systemd.daemon_reload(_if=unit.did_change)
systemd.service(service="bench", running=True, enabled=True)
