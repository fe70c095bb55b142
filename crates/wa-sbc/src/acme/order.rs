//! One order (RFC 8555 §7.1.3): account, authorizations, certificate.

use std::time::Duration;

use instant_acme::{
    AuthorizationStatus, ChallengeType, Identifier, NewOrder, OrderStatus, RetryPolicy,
};

use super::account::account;
use super::files::Issued;
use super::responder::Responder;
use crate::config::AcmeSettings;

/// How long an authority may take for its decisions.
const PATIENCE: Duration = Duration::from_secs(90);

/// Orders a certificate for our names and proves that they are ours.
pub(super) async fn obtain(settings: &AcmeSettings) -> Result<Issued, String> {
    let account = account(settings).await?;
    let names: Vec<Identifier> = settings
        .names
        .iter()
        .cloned()
        .map(Identifier::Dns)
        .collect();
    let order = account.new_order(&NewOrder::new(&names)).await;
    let mut order = order.map_err(|why| format!("the order: {why}"))?;
    let responder = Responder::open(settings.listen).await.map_err(|why| {
        format!(
            "cannot listen on {} for the challenge: {why}",
            settings.listen
        )
    })?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(|why| format!("an authorization: {why}"))?;
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            other => return Err(format!("an authorization is {other:?}")),
        }
        let challenge = authorization.challenge(ChallengeType::Http01);
        let mut challenge = challenge.ok_or("the authority offers no http-01")?;
        responder.say(&challenge.token, challenge.key_authorization().as_str());
        let ready = challenge.set_ready().await;
        ready.map_err(|why| format!("the challenge: {why}"))?;
    }
    let retries = RetryPolicy::new().timeout(PATIENCE);
    match order.poll_ready(&retries).await {
        Ok(OrderStatus::Ready) => {}
        Ok(status) => {
            let host = settings.names.join(", ");
            return Err(format!(
                "the authority could not see that {host} is ours (order {status:?}): port 80 of that name has to lead to {}",
                settings.listen
            ));
        }
        Err(why) => return Err(format!("the order: {why}")),
    }
    let key = order
        .finalize()
        .await
        .map_err(|why| format!("the request: {why}"))?;
    let chain = order.poll_certificate(&retries).await;
    let chain = chain.map_err(|why| format!("the certificate: {why}"))?;
    Ok(Issued { chain, key })
}
