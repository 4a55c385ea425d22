"""The tools that are compared: how each is installed, configured and started.

Each is set up as its own documentation says is fastest: no facts gathered, pipelining, as many hosts at a time as
there are. Connections that ssh would keep open from one run to the next are ended before each.
"""

import os
import sysconfig

from lab import HERE, INVENTORY, MASTERS, MK, SSH_CONFIG, WORK, mk_environment, must

VERSIONS = {"ansible-core": "2.19.14", "mitogen": "0.3.54", "pyinfra": "3.10.0"}
VENV = WORK / "peers"
STEPS = HERE / "steps"
FILES = WORK / "files"


def install():
    """Puts the peers into an environment of their own."""
    if not (VENV / "bin/python3").exists():
        must(["python3", "-m", "venv", VENV])
    print("installing the peers …", flush=True)
    must([VENV / "bin/pip", "install", "--quiet", "--disable-pip-version-check"] + [f"{name}=={version}" for name, version in VERSIONS.items()])


def files():
    """Gathers what the steps copy in one folder for all tools, with a file of 100 kB that does not compress."""
    FILES.mkdir(parents=True, exist_ok=True)
    for file in (STEPS / "files").iterdir():
        (FILES / file.name).write_bytes(file.read_bytes())
    value, data = 1, bytearray()
    while len(data) < 100_000:
        value = value * 6364136223846793005 + 1442695040888963407 & 0xFFFFFFFFFFFFFFFF
        data += (value >> 32).to_bytes(4, "little")
    (FILES / "data").write_bytes(data)
    # Playbooks find their sources beside themselves.
    for name in ["mk.rhai", "ansible.yml"]:
        (WORK / name).write_text((STEPS / name).read_text())


def configure(hosts):
    """Writes the inventories and settings that the peers read."""
    (WORK / "hosts.ini").write_text("[all]\n" + "".join(f"{name} ansible_python_interpreter=/usr/bin/python3\n" for name, _, _ in hosts))
    names = ", ".join(f'("{name}", {{"ssh_config_file": "{SSH_CONFIG}"}})' for name, _, _ in hosts)
    (WORK / "hosts.py").write_text(f"hosts = [{names}]\n")
    strategy = VENV / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages/ansible_mitogen/plugins/strategy"
    common = f"""[defaults]
inventory = {WORK}/hosts.ini
forks = {len(hosts)}
timeout = 60
gathering = explicit
host_key_checking = true
retry_files_enabled = false
local_tmp = {WORK}/ansible/tmp
"""
    ssh = f"""[ssh_connection]
pipelining = true
ssh_args = -F {SSH_CONFIG} -o ControlMaster=auto -o ControlPersist=60s
control_path_dir = {MASTERS}
"""
    (WORK / "ansible.cfg").write_text(common + ssh)
    (WORK / "mitogen.cfg").write_text(common + f"strategy_plugins = {strategy}\nstrategy = mitogen_linear\n" + ssh)


def environment(settings=None):
    """The environment for a peer, with the venv's programs first."""
    own = {"PATH": f"{VENV}/bin:{os.environ['PATH']}", "BENCH_FILES": str(FILES), "ANSIBLE_HOME": str(WORK / "ansible")}
    if settings:
        own["ANSIBLE_CONFIG"] = str(WORK / settings)
    return {**os.environ, **own}


def commands(hosts):
    """How each tool does the steps, by name: the command and its environment."""
    ansible = [VENV / "bin/ansible-playbook", WORK / "ansible.yml"]
    return {
        "mk": ([MK, "run", WORK / "mk.rhai", "-i", INVENTORY, "-f", len(hosts)], mk_environment()),
        "script": ([STEPS / "floor", SSH_CONFIG, FILES] + [name for name, _, _ in hosts], os.environ.copy()),
        "pyinfra": ([VENV / "bin/pyinfra", "-y", "--parallel", len(hosts), WORK / "hosts.py", STEPS / "pyinfra.py"], environment()),
        "mitogen": (ansible, environment("mitogen.cfg")),
        "ansible": (ansible, environment("ansible.cfg")),
    }


def changed(tool, output):
    """Whether a tool's output says that it changed something."""
    import re
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    if tool == "mk":
        return re.search(r"\bchanged [1-9]", plain) is not None
    if tool == "script":
        return "changed" in plain
    if tool == "pyinfra":
        last = [line for line in plain.splitlines() if "Grand total" in line]
        numbers = re.findall(r"(?<![\w.])(\d+|-)(?![\w.])", last[-1]) if last else []
        if not numbers:
            raise SystemExit(f"pyinfra printed no total:\n{plain[-2000:]}")
        return numbers[1] not in ("0", "-")
    return re.search(r"\bchanged=[1-9]", plain) is not None
