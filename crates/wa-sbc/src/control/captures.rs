//! Questions about captures.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;

use crate::capture::{Status, Wish};
use crate::core_task::Control;

/// How often somebody who waits for the end of a capture looks whether it has come.
const LOOK: Duration = Duration::from_millis(50);

/// Begins a capture; it ends with the connection unless it is to go on without.
pub(super) async fn capture(
    wish: Wish,
    detach: bool,
    control: &Sender<Control>,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let (answer, answered) = oneshot::channel();
    let wish = Box::new(wish);
    let _ = control.send(Control::Capture { wish, answer }).await;
    let status = match answered.await {
        Ok(Ok(status)) => status,
        Ok(Err(why)) => return to.write_all(format!("{why}\n").as_bytes()).await,
        Err(_) => return to.write_all(b"the program is ending\n").await,
    };
    to.write_all(format!("ok\n{}\n", status.name).as_bytes())
        .await?;
    if detach {
        return Ok(());
    }
    let mut byte = [0];
    loop {
        tokio::select! {
            // Whatever is said, and silence for ever, means the end.
            _ = from.read(&mut byte) => status.stop(),
            () = tokio::time::sleep(LOOK) => {}
        }
        if status.ended().is_some() {
            return to.write_all(summary(&status).as_bytes()).await;
        }
        if status.is_stopping() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Lists captures.
pub(super) async fn list(
    json: bool,
    control: &Sender<Control>,
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let captures = all(control).await;
    let text = match json {
        true => {
            let captures: Vec<_> = captures.iter().map(|status| status.json()).collect();
            format!("ok\n{}\n", serde_json::Value::from(captures))
        }
        false => captures
            .iter()
            .fold(String::from("ok\n"), |text, status| text + &summary(status)),
    };
    to.write_all(text.as_bytes()).await
}

/// Ends one.
pub(super) async fn stop(
    name: &str,
    control: &Sender<Control>,
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let captures = all(control).await;
    let Some(status) = captures.iter().find(|status| status.name == name) else {
        return to
            .write_all(b"no capture has that name: see wa-sbc capture --list\n")
            .await;
    };
    status.stop();
    while status.ended().is_none() {
        tokio::time::sleep(LOOK).await;
    }
    to.write_all(format!("ok\n{}", summary(status)).as_bytes())
        .await
}

async fn all(control: &Sender<Control>) -> Vec<Arc<Status>> {
    let (answer, answered) = oneshot::channel();
    let _ = control.send(Control::Captures(answer)).await;
    answered.await.unwrap_or_default()
}

fn summary(status: &Status) -> String {
    let files = status.files();
    let files = files.iter().map(|file| format!("  {}\n", file.display()));
    format!("{}\n{}", status.line(), files.collect::<String>())
}
