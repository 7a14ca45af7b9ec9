//! Is a postmaster there, is it ready, does it answer. All by looking; nothing here changes anything.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// The process id if the eighth line says that the server takes connections.
pub(crate) fn ready_pid(data: &Path) -> Option<u32> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let lines: Vec<&str> = text.lines().collect();
    (lines.get(7)?.trim() == "ready").then(|| lines.first()?.trim().parse().ok()).flatten()
}

/// The process id that the last postmaster left in its data folder, alive or not.
pub(crate) fn recorded_pid(data: &Path) -> Option<u32> {
    fs::read_to_string(data.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
}

/// The socket's folder that the postmaster noted on the fifth line.
pub(crate) fn recorded_socket_folder(data: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let line = text.lines().nth(4)?.trim();
    (!line.is_empty()).then(|| PathBuf::from(line))
}

/// True if the process runs and is the postmaster of `data`, which it keeps as its working folder. Where the
/// machine does not show another process's folder, a living process counts.
pub(crate) fn is_ours(pid: u32, data: &Path) -> bool {
    if !is_alive(pid) {
        return false;
    }
    let working = fs::read_link(format!("/proc/{pid}/cwd"));
    match (working, fs::canonicalize(data)) {
        (Ok(working), Ok(data)) => working == data,
        _ => true,
    }
}

/// True while the process runs; a zombie does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        // The state follows the name, which is in parentheses and may itself contain some.
        Ok(stat) => {
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
            !matches!(state, None | Some('Z' | 'X'))
        }
        Err(_) if Path::new("/proc/self").exists() => false,
        Err(_) => i32::try_from(pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok()),
    }
}

/// A living postmaster answers an SSLRequest with one byte. Three answers in a row, because a dying one
/// still looks alive by its process id.
pub(crate) fn answers(socket: &Path) -> bool {
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    (0..3).all(|_| {
        thread::sleep(Duration::from_millis(20));
        let Ok(mut stream) = UnixStream::connect(socket) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok()
            && stream.write_all(&SSL_REQUEST).is_ok()
            && stream.read_exact(&mut [0u8; 1]).is_ok()
    })
}
