//! A wire that can be slow or cut, between the programme and somebody it talks to.

use anyhow::Context;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Fine,
    /// Every piece of an answer is this late.
    Slow(Duration),
    /// Connections end, and new ones are ended at once.
    Cut,
}

pub struct Proxy {
    pub address: SocketAddr,
    line: watch::Sender<Line>,
    serving: JoinHandle<()>,
}

impl Proxy {
    /// Listens on this machine, for `behind`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(behind: SocketAddr) -> anyhow::Result<Proxy> {
        let listener =
            TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.context("a port for the proxy")?;
        let address = listener.local_addr()?;
        let (line, watched) = watch::channel(Line::Fine);
        let serving = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let watched = watched.clone();
                tokio::spawn(async move {
                    if *watched.borrow() == Line::Cut {
                        return;
                    }
                    if let Ok(far) = TcpStream::connect(behind).await {
                        carry(near, far, watched).await;
                    }
                });
            }
        });
        Ok(Proxy { address, line, serving })
    }

    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn carry(near: TcpStream, far: TcpStream, mut watched: watch::Receiver<Line>) {
    let (mut near_in, mut near_out) = near.into_split();
    let (mut far_in, mut far_out) = far.into_split();
    let asked = tokio::io::copy(&mut near_in, &mut far_out);
    let line = watched.clone();
    let answered = async {
        let mut piece = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = far_in.read(&mut piece).await {
            let now = *line.borrow();
            if let Line::Slow(late) = now {
                tokio::time::sleep(late).await;
            }
            if near_out.write_all(&piece[..length]).await.is_err() {
                break;
            }
        }
    };
    let cut = watched.wait_for(|line| *line == Line::Cut);
    tokio::select! {
        _ = asked => {}
        () = answered => {}
        _ = cut => {}
    }
}
