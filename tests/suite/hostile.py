#!/usr/bin/python3
# An agent that lies. It speaks the frames as the real one does, and puts the lies of SCENARIO (a file of JSON beside it)
# in place of its answers. All that it is told is written down in HEARD, beside it.
import json, os, random, struct, sys, threading

if "--probe" in sys.argv:
    sys.exit(0)
state = "@STATE@"
scenario = json.load(open(os.path.join(state, "scenario.json")))
heard = open(os.path.join(state, f"heard-{os.getpid()}"), "ab", buffering=0)
out = sys.stdout.buffer
chance = random.Random(scenario.get("seed", 0))


def frame(tag, body):
    try:
        out.write(struct.pack(">IB", len(body) + 1, tag) + body)
        out.flush()
    except BrokenPipeError:
        sys.exit(0)


def say(message):
    frame(1, json.dumps(message).encode())


def read(count):
    data = b""
    while len(data) < count:
        more = sys.stdin.buffer.read(count - len(data))
        if not more:
            sys.exit(0)
        data += more
    return data


def hear():
    length, = struct.unpack(">I", read(4))
    body = read(length)
    heard.write(body + b"\n")
    return body[0], body[1:]


def reply():
    """What this side answers to a question: one answer, or a blob to its end. A step may be over for it already."""
    while True:
        tag, body = hear()
        if tag in (3, 4) and len(body) > 8:
            continue
        if tag == 1 and json.loads(body)["to"] == "ping":
            continue
        return body


def fill(value, step):
    if isinstance(value, dict):
        return {key: fill(item, step) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, step) for item in value]
    if value == "DUE":
        return step["notify"][0]["id"] if step.get("notify") else "none"
    return step["id"] if value == "ID" else value


def outcome(status="ok"):
    return {"Ok": {"status": status, "values": {}, "micros": 1}}


def lie(step):
    for one in scenario.get("lies", []):
        kind, rest = one[0], fill(one[1:], step)
        if kind == "say":
            say(rest[0])
        elif kind == "ask":
            say({"from": "ask", "id": step["id"], "ask": rest[0]})
            reply()
        elif kind == "give":
            data = rest[1].encode()
            say({"from": "ask", "id": step["id"], "ask": {"ask": "take", "sha256": rest[0], "size": len(data)}})
            frame(3, struct.pack(">Q", step["id"]) + data)
            frame(3, struct.pack(">Q", step["id"]))
        elif kind == "output":
            frame(2, struct.pack(">QB", step["id"], rest[0]) + rest[1].encode() * rest[2])
        elif kind == "raw":
            frame(rest[0], rest[1].encode() * rest[2])
        elif kind == "random":
            for _ in range(rest[0]):
                anything(step)
    say({"from": "done", "id": step["id"], "result": outcome(), **fill(scenario.get("done", {}), step)})


PATHS = ["/etc/passwd", "../../x", "/root/.ssh/authorized_keys", os.path.join(state, "stolen"), ""]


def value(depth=0):
    pick = chance.randrange(9 if depth < 4 else 5)
    if pick == 0:
        return chance.choice(PATHS)
    if pick == 1:
        return chance.choice([0, 1, -1, 2**63, 2**64, 1e308, True, False, None])
    if pick == 2:
        return "".join(chance.choice("ab/\x1b\n\u202e\x00\xe9") for _ in range(chance.randrange(12)))
    if pick in (3, 4):
        return chance.choice(["fetch", "cert", "copy", "shell", "file", "ok", "changed", "absent", "sign"])
    if pick in (5, 6):
        return [value(depth + 1) for _ in range(chance.randrange(4))]
    names = ["op", "args", "@path", "path", "src", "dest", "sign", "inspect", "kind", "message", "made", "state", "id"]
    return {chance.choice(names): value(depth + 1) for _ in range(chance.randrange(5))}


def anything(step):
    number = chance.choice([step["id"], step["id"], 0, step["id"] + 1, 2**63])
    pick = chance.randrange(8)
    if pick == 0:
        frame(chance.randrange(7), bytes(chance.randrange(256) for _ in range(chance.randrange(40))))
    elif pick == 1:
        frame(2, struct.pack(">QB", number, chance.randrange(4)) + os.urandom(chance.randrange(200)))
    elif pick == 2:
        frame(3, struct.pack(">Q", number) + os.urandom(chance.randrange(3)))
    elif pick == 3:
        ask = chance.choice(["blob", "blobs", "other", "take", "due", "x"])
        say({"from": "ask", "id": number, "ask": {"ask": ask, "sha256": value(), "size": value(), "question": value()}})
    elif pick == 4:
        say({"from": chance.choice(["dropped", "pong", "hello", "locked", "forgotten"]), "id": number, **step_like()})
    elif pick == 5:
        say({"from": "done", "id": number, "result": chance.choice([value(), outcome(), {"Err": value()}]), **step_like()})
    elif pick == 6:
        say({"from": "done", "id": number, "result": {"Err": {"kind": chance.choice(
            ["step", "playbook", "usage", "interrupted", "host_key", "locked", "unknown"]), "message": "m", "place":
            {"file": "/etc/shadow", "line": 1, "column": 1}}}, **step_like()})
    else:
        say(value())


def step_like():
    made = [{"made": {"op": value(), "subject": "x", "args": value()}}, {"below": value()}, value()]
    made.append({"made": {"op": "fetch", "subject": "x", "args": {"src": "/etc/hostname", "@path": PATHS[3]}}})
    fields = {"made": [chance.choice(made)], "due": value(), "worked": value(), "pending": value(), "left": value()}
    return {name: fields[name] for name in fields if chance.randrange(3) == 0}


say({"from": "hello", "protocol": scenario["protocol"], "pid": os.getpid(), "uid": 0, "arch": os.uname().machine,
     "boot": "b", "machine": "m", "build": scenario["build"], **scenario.get("hello", {})})
waiting = []
while True:
    tag, body = hear()
    if tag != 1:
        continue
    message = json.loads(body)
    if message["to"] == "lock":
        say({"from": "locked", "holder": None, "pending": [], **scenario.get("locked", {})})
    elif message["to"] == "forget":
        say({"from": "forgotten", "result": scenario.get("forgotten", {"Ok": None})})
    elif message["to"] == "do":
        for step in message["steps"]:
            lie(step)
    elif message["to"] == "ping":
        say({"from": "pong"})
    elif message["to"] == "bye":
        sys.exit(0)
