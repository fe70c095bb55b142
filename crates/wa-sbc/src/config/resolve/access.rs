//! Accounts and registrations of a trunk: `username`, `password`, `peer = "registered"`, `[trunk.register]`.

use std::time::Duration;

use b2bua::settings::{Access, Account, Upstream};
use sip::{Secret, Target};
use toml::Spanned;

use super::Resolver;
use crate::config::file;
use crate::config::secret::SecretSource;

/// What stands for `peer` where calls go to wherever the trunk has registered.
pub(super) const REGISTERED: &str = "registered";

/// How a secret is named.
const REMEDY: &str = "write password = { env = \"NAME\" } or { file = \"/run/secrets/name\" }";

impl Resolver<'_, '_> {
    /// How a trunk and we know each other beyond networks; `destinations` is where its calls go.
    pub(super) fn access(
        &mut self,
        written: &file::Trunk,
        destinations: &[Target],
        domain: &str,
    ) -> Access {
        let registers = registers(written);
        let account = self.account(
            ["trunk.username", "trunk.password"],
            (&written.username, &written.password),
        );
        if registers && written.username.is_none() {
            self.object(
                written.peer.span(),
                "trunk.username",
                "whoever registers has to prove who it is",
                "add username = \"…\" and password = { env = \"NAME\" } to the trunk",
            );
        }
        if let Some(username) = &written.username {
            let others = self.file.trunk.iter().map(Spanned::get_ref);
            let same = others
                .filter_map(|trunk| trunk.username.as_ref())
                .filter(|other| other.get_ref() == username.get_ref());
            if same.count() > 1 {
                self.object(
                    username.span(),
                    "trunk.username",
                    "another trunk has the same user name, so nobody could tell them apart",
                    "give each trunk a user name of its own",
                );
            }
        }
        Access {
            account,
            registers,
            upstream: self.upstream(written, destinations, domain),
        }
    }

    fn upstream(
        &mut self,
        written: &file::Trunk,
        destinations: &[Target],
        domain: &str,
    ) -> Option<Upstream> {
        let register = &written.register;
        let account = self.account(
            ["trunk.register.username", "trunk.register.password"],
            (&register.username, &register.password),
        )?;
        if registers(written) {
            self.object(
                written.peer.span(),
                "trunk.register",
                "a trunk that registers here is nowhere we could register",
                "write where the PBX is as peer, or remove [trunk.register]",
            );
        }
        if !(30..=86_400).contains(register.expires.get_ref()) {
            self.object(
                register.expires.span(),
                "trunk.register.expires",
                "it goes from 30 to 86400",
                "write 600; the PBX may shorten it",
            );
        }
        let mut servers = Vec::new();
        for server in &register.servers {
            let mut target = self.peer("trunk.register.servers", server);
            if let Some(first) = destinations.first() {
                if first.transport != target.transport {
                    self.object(
                        server.span(),
                        "trunk.register.servers",
                        "its transport is not that of the trunk's peer",
                        "write the same transport= as in peer",
                    );
                }
                target.from = first.from;
            }
            servers.push(target);
        }
        if servers.is_empty() {
            servers = destinations.to_vec();
        }
        Some(Upstream {
            servers,
            domain: register.domain.clone().unwrap_or_else(|| domain.to_owned()),
            extension: register
                .extension
                .clone()
                .unwrap_or_else(|| account.username.clone()),
            account,
            expires: Duration::from_secs((*register.expires.get_ref()).into()),
        })
    }

    /// A user name with its password, if there is one.
    fn account(
        &mut self,
        [name_key, password_key]: [&str; 2],
        (username, password): (&Option<Spanned<String>>, &Option<Spanned<SecretSource>>),
    ) -> Option<Account> {
        let (username, password) = match (username, password) {
            (None, None) => return None,
            (Some(username), Some(password)) => (username, password),
            (Some(username), None) => {
                let problem = "a user name without a password proves nothing";
                self.object(username.span(), password_key, problem, REMEDY);
                return None;
            }
            (None, Some(password)) => {
                let problem = "there is a password, and nobody it belongs to";
                let remedy = "write username = \"…\" beside it";
                self.object(password.span(), name_key, problem, remedy);
                return None;
            }
        };
        if username.get_ref().is_empty() {
            let remedy = "write the name the account has";
            self.object(username.span(), name_key, "it is empty", remedy);
        }
        let secret = match password.get_ref().fetch(self.environment) {
            Ok(secret) => secret,
            Err(problem) => {
                let remedy = "set it to the password of the account";
                self.object(password.span(), password_key, problem, remedy);
                Secret::new(String::new())
            }
        };
        Some(Account {
            username: username.get_ref().clone(),
            password: secret,
        })
    }
}

/// Whether calls to a trunk go to wherever it has registered.
pub(super) fn registers(written: &file::Trunk) -> bool {
    written.peer.get_ref() == REGISTERED
}
