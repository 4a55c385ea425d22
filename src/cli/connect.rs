//! The fleet's connections, made by the transport as the inventory says.

use std::sync::Arc;

use crate::error::Result;
use crate::event::{EventKind, Events};
use crate::fleet::{Boxed, Connector, Pipe, Pipes};
use crate::inventory::{Inventory, Way};
use crate::transport::{Connection, Dialer};

/// Connects to hosts of an inventory; `local` is this machine also where no inventory names it.
pub(super) struct Connections {
    pub(super) dialer: Dialer,
    pub(super) inventory: Arc<Inventory>,
    pub(super) become_root: bool,
    pub(super) events: Events,
}

impl Connector for Connections {
    fn connect<'a>(&'a self, host: &'a str) -> Boxed<'a, Result<Box<dyn Pipes>>> {
        Box::pin(async move {
            let ways = |name: &str| self.inventory.host(name).ok().map(|host| host.ways.clone());
            let own = ways(host).unwrap_or_else(|| vec![Way::Local {}]);
            let connection = self.dialer.connect(host, &own, &ways).await;
            // Also where it failed: what was passed over may be the reason.
            for text in self.dialer.notices() {
                self.events.tell(EventKind::Said { host: None, warning: true, text });
            }
            Ok(Box::new(Open(connection?)) as Box<dyn Pipes>)
        })
    }

    fn become_user(&self, host: &str) -> Option<String> {
        let named = self.inventory.host(host).ok().and_then(|host| host.become_user.clone());
        named.or_else(|| (self.become_root && self.inventory.host(host).is_ok()).then(|| "root".to_owned()))
    }
}

struct Open(Connection);

impl Pipes for Open {
    fn spawn<'a>(&'a self, command: &'a str) -> Boxed<'a, Result<Pipe>> {
        Box::pin(async move {
            let process = self.0.spawn(command).await?;
            Ok(Pipe {
                stdin: Box::new(process.stdin),
                stdout: Box::new(process.stdout),
                stderr: Box::new(process.stderr),
            })
        })
    }

    fn way(&self) -> String {
        self.0.describe().to_owned()
    }

    fn close(&self) -> Boxed<'_, ()> {
        Box::pin(self.0.close())
    }
}
