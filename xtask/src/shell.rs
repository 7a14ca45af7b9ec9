//! Running programs and saying how long each step took.

use std::{
    collections::VecDeque,
    env,
    io::{self, BufRead, BufReader, IsTerminal, PipeReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

/// Runs one step of a longer command with its name before and its time after.
pub fn step<T>(name: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    eprintln!("── {name}");
    let begun = Instant::now();
    let done = work();
    let seconds = begun.elapsed().as_secs_f32();
    match &done {
        Ok(_) => eprintln!("── {name}: done in {seconds:.1} s"),
        Err(_) => eprintln!("── {name}: FAILED after {seconds:.1} s"),
    }
    std::io::stderr().flush().ok();
    done
}

/// Lines that an error repeats of what a failed program said last.
const LAST_LINES: usize = 60;

/// Runs a program that speaks for itself, on standard error. Where nobody watches, its last lines are in the error too, so
/// that the end of a long log tells why the run failed.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = show(command);
    eprintln!("   $ {shown}");
    command.stdin(Stdio::null());
    if io::stderr().is_terminal() {
        let status = command.stdout(io::stderr()).status().with_context(|| shown.clone())?;
        anyhow::ensure!(status.success(), "{shown}: {status}");
        return Ok(());
    }
    let (reader, writer) = io::pipe().context("making a pipe")?;
    let mut child = command.stdout(writer.try_clone()?).stderr(writer).spawn().with_context(|| shown.clone())?;
    // The command has the pipe's other end as long as it is told to write there.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let said = Arc::new(Mutex::new(VecDeque::new()));
    let listener = thread::spawn({
        let said = Arc::clone(&said);
        move || pass_on(reader, &said)
    });
    let status = child.wait().with_context(|| shown.clone())?;
    // A server that the program left behind may hold the pipe open.
    let ended = Instant::now();
    while !listener.is_finished() && ended.elapsed() < Duration::from_secs(1) {
        thread::sleep(Duration::from_millis(10));
    }
    if !status.success() {
        let said: Vec<String> = said.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        bail!("{shown}: {status}; it said last:\n{}", said.join("\n"));
    }
    Ok(())
}

fn pass_on(from: PipeReader, said: &Mutex<VecDeque<String>>) {
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        eprintln!("{line}");
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push_back(line);
        if said.len() > LAST_LINES {
            said.pop_front();
        }
    }
}

/// What a program printed, or `None` if it does not exist or fails.
pub fn ask(program: impl AsRef<Path>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program.as_ref()).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The command as one would type it.
pub fn show(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| {
            let word = word.to_string_lossy();
            if word.contains([' ', '"', '\'']) { format!("'{word}'") } else { word.into_owned() }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Cargo itself, in the workspace.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(crate::workspace::root());
    // What `cargo run` tells xtask about itself is not about the builds that xtask starts.
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR") {
            cargo.env_remove(name);
        }
    }
    cargo
}

pub fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

pub fn is_root() -> bool {
    ask("id", &["-u"]).as_deref() == Some("0")
}
