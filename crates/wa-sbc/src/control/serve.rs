//! The listening side of the control socket.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{Sender, WeakSender};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::ask::Ask;
use super::captures;
use crate::core_task::Control;
use crate::trace::{Manner, draw};

/// A question has to come within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest question.
const LONGEST: u64 = 4096;
/// Ladders in one answer.
const LADDERS: usize = 20;

/// The socket, removed with its owner.
#[derive(Debug)]
struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The listening task; it ends with its owner.
#[derive(Debug)]
pub(crate) struct Serving(AbortHandle);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listens at `path`. A socket that cannot be had costs the questions, not the calls: the log says so.
pub(crate) fn serve(path: &Path, control: WeakSender<Control>) -> Option<Serving> {
    if path.parent().is_some_and(|parent| !parent.exists()) {
        tracing::debug!(path = %path.display(), "no directory for the control socket: there is none");
        return None;
    }
    let listener = match bind(path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "no control socket: wa-sbc ladder and capture cannot ask this program");
            return None;
        }
    };
    let socket = Socket(path.into());
    let task = tokio::spawn(async move {
        let _socket = socket;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    // Weak in between: whoever may speak for ever would keep the core task alive.
                    let Some(control) = control.upgrade() else {
                        return;
                    };
                    tokio::spawn(async move {
                        if let Err(error) = answer(stream, &control).await {
                            tracing::debug!(%error, "a question on the control socket went unanswered");
                        }
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "accepting on the control socket failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Some(Serving(task.abort_handle()))
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    // A socket nobody listens on was left by a program that was killed.
    if path.exists() && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn answer(mut stream: UnixStream, control: &Sender<Control>) -> io::Result<()> {
    let (from, mut to) = stream.split();
    let mut line = String::new();
    let mut from = BufReader::new(from.take(LONGEST));
    timeout(PATIENCE, from.read_line(&mut line)).await??;
    let ask = match serde_json::from_str(&line) {
        Ok(ask) => ask,
        Err(error) => {
            let sorry = format!("this program does not understand the question: {error}\n");
            return to.write_all(sorry.as_bytes()).await;
        }
    };
    match ask {
        Ask::Ladder {
            query,
            all,
            svg,
            messages,
            secrets,
        } => {
            let (answer, answered) = oneshot::channel();
            let wanted = Control::Find { query, answer };
            let _ = control.send(wanted).await;
            let stories = answered.await.unwrap_or_default();
            if stories.is_empty() {
                return to
                    .write_all(b"no call remembered has that Call-ID, wacid or number\n")
                    .await;
            }
            let manner = Manner {
                svg,
                messages,
                secrets,
            };
            let shown = if all && !svg { LADDERS } else { 1 };
            let mut text = String::from("ok\n");
            for story in stories.iter().take(shown) {
                text.push_str(&draw(story, manner));
                text.push('\n');
            }
            if stories.len() > shown && !svg {
                text.push_str(&format!("{} older ones: --all\n", stories.len() - shown));
            }
            to.write_all(text.as_bytes()).await
        }
        Ask::Capture { wish, detach } => {
            captures::capture(wish, detach, control, &mut from, &mut to).await
        }
        Ask::Captures { json } => captures::list(json, control, &mut to).await,
        Ask::StopCapture { name } => captures::stop(&name, control, &mut to).await,
    }
}
