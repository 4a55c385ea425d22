//! What an inventory may choose and the labs' own do not: a network over the hosts that somebody else keeps, and images
//! from where they are published.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kubernetes::{CONFIRMED, well};
use crate::needs;
use crate::support::{Run, root, run_small, run_with};

const MEMBERS: &str = "playbooks/03-compute-resources.rhai";
const RANGES: &str = "playbooks/11-pod-network.rhai";

/// The small lab as somebody else knows it: with a state of its own, and so with other authorities and ledgers.
struct Stranger {
    folder: PathBuf,
}

impl Stranger {
    fn new() -> Self {
        // Kept, so that what a test left behind is not in the way of the next.
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("stranger");
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Runs a script of theirs, which knows their folder as OUT, and gives what it said.
    fn run(&self, text: &str) -> String {
        self.run_as(&[], text)
    }

    /// The same, with other flags.
    fn run_as(&self, flags: &[&str], text: &str) -> String {
        let script = self.path("p.rhai");
        let head = format!("const OUT = \"{}\";\n", self.folder.display());
        std::fs::write(&script, head + text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mk"));
        command.args(["run", "-v", "-i", "inventories/small"]).args(flags).arg(&script).current_dir(root());
        let output = command.env("XDG_STATE_HOME", self.path("state")).env("MK_LOCK_WAIT", "60s").output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{text}");
        text
    }

    /// The small lab's inventory with other variables.
    fn inventory(&self, name: &str, more: &str) -> PathBuf {
        let text = std::fs::read_to_string(root().join("inventories/small/inventory.yml")).unwrap();
        let file = self.path(name);
        std::fs::write(&file, text.replacen("vars:\n", &format!("vars:\n{more}"), 1)).unwrap();
        file
    }

    /// Takes away all that they made.
    fn leave(&self) {
        self.run(
            r#"
                import "cleanup" as cleanup;
                import "registry" as registry;
                on("all", |host| {
                    cleanup::overlay(host);
                    cleanup::overlay_server(host);
                    registry::remove(host);
                    host.unmake(host.made());
                    host.run(["update-ca-certificates", "--fresh"]);
                });
            "#,
        );
    }

    /// The devices that their server knows.
    fn devices(&self) -> Vec<String> {
        let text = self.run(
            r#"
                let told = parse_json(host("controller-1").run(["headscale", "nodes", "list", "-o", "json"], #{ reads: true }).stdout);
                if told != () {
                    for node in told {
                        log(`device ${node.name}`);
                    }
                }
            "#,
        );
        let mut all: Vec<_> =
            text.lines().filter_map(|line| line.trim().strip_prefix("device ")).map(str::to_owned).collect();
        all.sort();
        all
    }
}

fn unchanged(inventory: &Path, playbook: &str) {
    assert_eq!(well(run_with(inventory, &[playbook])).changes(), vec![], "{playbook}");
}

fn said(run: &Run, text: &str) {
    assert!(run.all.contains(text), "no `{text}`: {}", run.all);
}

#[test]
fn hosts_join_a_tailnet_that_somebody_else_keeps_and_leave_it_again() {
    let _turn = needs::small_without_cluster();
    let theirs = Stranger::new();
    theirs.leave();
    // Its policy knows nothing of the cluster's pods.
    theirs.run(
        r#"
            import "overlay" as overlay;
            let server = host("controller-1");
            overlay::serve(server, "10.99.0.0/16");
            let keep = |name, words| {
                let made = server.run(["headscale"] + words, #{ secret_output: true }).stdout;
                local().copy(`${global::OUT}/${name}`, #{ content: made, mode: "0600" });
            };
            keep.call("join", ["preauthkeys", "create", "--user", "mk", "--reusable", "--tags", "tag:node"]);
            keep.call("api", ["apikeys", "create"]);
            local().copy(global::OUT + "/ca", #{ content: overlay::authority().cert });
        "#,
    );
    let out = theirs.folder.display().to_string();
    let joins = format!("kind: tailnet, url: 'https://10.78.1.11:8443', ca: {out}/ca, key: 'file:{out}/join'");
    let ours = theirs.inventory(
        "ours.yml",
        &format!("  overlay: {{ {joins}, api: {{ kind: headscale, key: 'file:{out}/api' }} }}\n"),
    );
    let joined = well(run_with(&ours, &[MEMBERS]));
    said(&joined, "worker-2: 2 of 2 reached");
    assert!(!joined.all.contains(std::fs::read_to_string(theirs.path("join")).unwrap().trim()), "the key shows");
    unchanged(&ours, MEMBERS);
    let closed = run_with(&ours, &[RANGES]);
    assert_eq!(closed.code, 1, "{}", closed.all);
    said(&closed, "the tailnet does not let these ranges through: 10.200.1.0/24, 10.200.2.0/24; approve them in its");
    theirs.run(
        r#"
            let server = host("controller-1");
            for route in parse_json(server.run(["headscale", "routes", "list", "-o", "json"], #{ reads: true }).stdout) {
                server.run(["headscale", "routes", "enable", "--route", `${route.id}`]);
            }
        "#,
    );
    unchanged(&ours, RANGES);

    // A host made anew is known by no key of the tailnet's, and its old device goes.
    let anew = r#"
        on("worker-2", |host| {
            host.shell("systemctl stop tailscaled && rm -r /var/lib/tailscale && systemctl start tailscaled");
        });
    "#;
    theirs.run(anew);
    well(run_with(&ours, &[MEMBERS]));
    assert_eq!(theirs.devices(), ["controller-1", "worker-1", "worker-2"]);
    // Without a way to ask for that it stays, and who joins and leaves says so.
    let silent = theirs.path("ours.yml");
    let text = std::fs::read_to_string(&silent).unwrap();
    std::fs::write(&silent, text.replace(", api: { kind: headscale", ", was: { kind: headscale")).unwrap();
    theirs.run(anew);
    said(
        &well(run_with(&ours, &[MEMBERS])),
        "worker-2 joins anew; its device 4 stays in the tailnet until somebody deletes",
    );
    let leave = ["-e", "confirm=small", "-e", "role=overlay", CONFIRMED[2]];
    let left = well(run_with(&ours, &[&["-e", "nodes=worker-1"], &leave[..]].concat()));
    said(&left, "the devices of worker-1 (");
    said(&left, "are logged out and stay in the tailnet until somebody deletes them there");
    std::fs::write(&silent, text).unwrap();
    well(run_with(&ours, &leave));
    assert_eq!(theirs.devices(), ["worker-1", "worker-2"], "those that nobody could ask to delete are left, no others");
    // The address counts again that the inventory gives.
    let asked = theirs.path("ask.rhai");
    std::fs::write(&asked, "log(host(\"worker-2\").vars.node_ip);").unwrap();
    said(&well(run_with(&ours, &[asked.to_str().unwrap()])), "10.78.1.22");

    well(run_with(&ours, &CONFIRMED));
    theirs.leave();
}

/// A registry that the workers find, and trust, under the name of the one where images are published.
const PUBLISHED: &str = r##"
import "images" as images;
import "registry" as registry;

let one = registry::keeper();
let made = images::make(local());
// What it holds is made here; its names are those of the published ones.
let list = "";
for line in file_text(made.sub_string(0, made.len() - 4) + ".list").lines() {
    let words = line.split(" ", 2);
    let name = switch words[0] {
        "mk.local/pause:2" => "pause:3.10",
        "mk.local/coredns:1.12.0" => "coredns/coredns:v1.12.0",
        "mk.local/toolbox:1" => "e2e-test-images/busybox:1.36.1-1",
        _ => fail("another image: " + words[0]),
    };
    list += `registry.k8s.io/${name} ${words[1]}` + "\n";
}
local().copy(global::OUT + "/images.list", #{ content: list });
local().file(global::OUT + "/images.tar", #{ state: "link", target: made });
registry::serve(one);
registry::fill(one, global::OUT + "/images.tar");
one.cert("/etc/registry/server", #{
    ca: "registry", cn: "registry.k8s.io", sans: ["registry.k8s.io", one.vars.node_ip, "127.0.0.1"], usage: ["server"], owner: "registry", group: "registry",
});
one.service("registry", #{ action: "restart" });
local().copy(global::OUT + "/registry.crt", #{ content: registry::authority().cert });
on("workers", |host| {
    host.copy("/usr/local/share/ca-certificates/published.crt", #{ content: registry::authority().cert });
    host.run(["update-ca-certificates"]);
    host.line("/etc/hosts", #{ line: one.vars.node_ip + " registry.k8s.io" });
});
"##;

#[test]
fn images_are_pulled_from_where_they_are_published_or_from_a_registry_that_is_there() {
    let _turn = needs::small_without_cluster();
    let theirs = Stranger::new();
    theirs.leave();
    theirs.run_as(&["-e", "registry_port=443"], PUBLISHED);
    let asked = |words: &str| {
        let found = theirs.run(&format!(
            r#"
                let one = host("controller-1");
                for host in hosts("workers") {{
                    let count = one.shell(`journalctl -u registry -o cat --no-pager | grep '^${{host.vars.node_ip}} .* 200 .*containerd' | grep -c '{words}' || true`, #{{ reads: true }}).stdout;
                    log(`${{host.name}} asked ${{if count == "0" {{ "never" }} else {{ "well" }}}}`);
                }}
            "#
        ));
        (found.contains("worker-1 asked well"), found.contains("worker-2 asked well"))
    };
    let pulls = ["-e", "images=pull", "playbooks/all.rhai"];
    well(run_small(&pulls));
    for image in ["pause", "coredns/coredns", "e2e-test-images/busybox"] {
        assert_eq!(asked(&format!("GET /v2/{image}/blobs/sha256:")), (true, true), "{image}");
    }
    for lab in ["playbooks/09-bootstrapping-workers.rhai", "playbooks/11b-cluster-dns.rhai"] {
        assert_eq!(well(run_small(&["-e", "images=pull", lab])).changes(), vec![], "{lab}");
    }
    // From here on nobody finds the published one; a registry of another name has the same.
    theirs.run(
        r#"
            on("workers", |host| {
                host.line("/etc/hosts", #{ line: "10.78.1.11 registry.k8s.io", state: "absent" });
                host.file("/usr/local/share/ca-certificates/published.crt", #{ state: "absent" });
                host.run(["update-ca-certificates", "--fresh"]);
                host.run(["ctr", "-n", "k8s.io", "images", "rm", "--sync", "registry.k8s.io/e2e-test-images/busybox:1.36.1-1"]);
            });
        "#,
    );
    let trusted = format!("registry_ca={}", theirs.path("registry.crt").display());
    let there = ["-e", "images=registry", "-e", "registry=https://10.78.1.11:443", "-e", &trusted];
    for lab in ["playbooks/09-bootstrapping-workers.rhai", "playbooks/12-smoke-test.rhai"] {
        well(run_small(&[&there[..], &[lab]].concat()));
    }
    assert_eq!(asked("/v2/e2e-test-images/busybox/.*ns=registry.k8s.io"), (true, true));
    well(run_small(&CONFIRMED));
    theirs.leave();
}
