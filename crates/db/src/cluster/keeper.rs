//! Starts postgres as the child of a thread that lives as long as the server should.
//!
//! Linux sends the parent-death signal when the *thread* that made the child ends, not when its process does.
//! A thread of a runtime's pool may end at any time and would take the database with it, so one thread is kept
//! for nothing else. When the process dies, however it dies, that thread dies with it, and the server shuts down.

use std::{
    io,
    process::{Child, Command},
    sync::mpsc,
    thread,
};

use crate::cluster::ClusterError;

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// The thread. It ends when this value is dropped, so keep it until the server is gone.
#[derive(Debug)]
pub(super) struct Keeper {
    orders: mpsc::Sender<Order>,
}

impl Keeper {
    pub(super) fn new() -> Keeper {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                answer.send(command.spawn()).ok();
            }
        });
        Keeper { orders }
    }

    pub(super) fn spawn(&self, command: Command) -> Result<Child, ClusterError> {
        let (answer, child) = mpsc::channel();
        let gone = || ClusterError::io("starting postgres")(io::Error::other("the thread that starts it is gone"));
        self.orders.send((command, answer)).map_err(|_| gone())?;
        child.recv().map_err(|_| gone())?.map_err(ClusterError::io("starting postgres"))
    }
}

/// Asks the kernel to send SIGINT, PostgreSQL's fast shutdown, when the starting thread ends. Elsewhere than
/// on Linux this does nothing: a killed program leaves an orphan there, which the next start adopts.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "what runs between fork and exec makes two system calls and touches no memory")]
pub(super) fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;

    use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

    let parent = getpid();
    let ask = move || {
        set_parent_process_death_signal(Some(Signal::INT))?;
        // Had the parent died before the call, no signal would ever come.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::Error::from_raw_os_error(3)) }
    };
    // SAFETY: the closure calls prctl and getppid only. It allocates nothing and takes no lock, so it is safe
    // in a child forked from a program with several threads.
    unsafe {
        command.pre_exec(ask);
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn die_with_parent(_: &mut Command) {}
