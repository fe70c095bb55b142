//! The account with the authority: a key and where it is known.

use instant_acme::{Account, AccountCredentials, NewAccount};

use super::client::Client;
use super::files;
use crate::config::AcmeSettings;

/// The account of the file, or a new one that is kept there. One with another authority, as after a trial
/// with a staging directory, is put aside.
pub(super) async fn account(settings: &AcmeSettings) -> Result<Account, String> {
    let client = || {
        let client = Client::new(settings).map_err(|why| why.to_string())?;
        Ok::<_, String>(Account::builder_with_http(Box::new(client)))
    };
    let path = &settings.account;
    if is_elsewhere(settings) {
        let aside = path.with_extension("old.json");
        std::fs::rename(path, &aside)
            .map_err(|why| format!("cannot put {} aside: {why}", path.display()))?;
        tracing::warn!(
            kept = %aside.display(),
            directory = settings.directory,
            "the account was one with another authority; another is made"
        );
    }
    if let Some(text) = files::read_account(path)? {
        let known: AccountCredentials = serde_json::from_str(&text)
            .map_err(|why| format!("{} holds no account: {why}", path.display()))?;
        let account = client()?.from_credentials(known).await;
        return account.map_err(|why| format!("the authority does not answer: {why}"));
    }
    let contact: Vec<&str> = settings.contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let made = client()?
        .create(&new, settings.directory.clone(), None)
        .await;
    let (account, credentials) = made.map_err(|why| format!("a new account: {why}"))?;
    let text = serde_json::to_string(&credentials).map_err(|why| why.to_string())?;
    files::write_secret(path, &text)
        .map_err(|why| format!("cannot keep {}: {why}", path.display()))?;
    Ok(account)
}

/// Whether the account that is there is one with another authority than the configuration names: so is
/// then the certificate.
pub(super) fn is_elsewhere(settings: &AcmeSettings) -> bool {
    let Ok(Some(text)) = files::read_account(&settings.account) else {
        return false;
    };
    let known: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let directory = known.as_ref().and_then(|known| known["directory"].as_str());
    directory.is_some_and(|directory| directory != settings.directory)
}
