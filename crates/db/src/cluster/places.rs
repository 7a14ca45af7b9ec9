//! Where everything of a cluster lies, whose it is, and whether the server's account can get there.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read, Seek, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::fs::{FlockOperation, flock};

use crate::cluster::{Account, ClusterError, PORT};

/// `sockaddr_un` has room for 107 bytes and a zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// PostgreSQL keeps paths in buffers of 1,024 bytes and appends names of its own to the data folder.
const DATA_PATH_BYTES_MAX: usize = 900;

/// The parts of a cluster's folder.
#[derive(Debug, Clone)]
pub(super) struct Places {
    folder: PathBuf,
    socket_folder: PathBuf,
}

/// The lock that says whose the cluster is. Let go when dropped, and by the kernel when the process dies.
#[derive(Debug)]
pub(super) struct Ownership {
    _lock: File,
}

impl Places {
    /// Makes the folder and its missing parents, searchable by everyone; what must be private lies in folders
    /// of their own inside.
    pub(super) fn prepare(folder: &Path) -> Result<Places, ClusterError> {
        let doing = || ClusterError::io(format!("making the folder {}", folder.display()));
        let absolute = std::path::absolute(folder).map_err(doing())?;
        let bytes = absolute.as_os_str().as_bytes().len();
        if bytes > DATA_PATH_BYTES_MAX {
            return Err(ClusterError::PathTooLong { path: absolute, bytes, max: DATA_PATH_BYTES_MAX });
        }
        make_searchable(&absolute).map_err(doing())?;
        let folder = fs::canonicalize(&absolute).map_err(doing())?;
        Ok(Places { socket_folder: folder.join("run"), folder })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where a new cluster is made before it is moved to `data`.
    pub(super) fn data_unfinished(&self) -> PathBuf {
        self.folder.join("data.unfinished")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    pub(super) fn socket_folder(&self) -> &Path {
        &self.socket_folder
    }

    pub(super) fn socket(&self) -> PathBuf {
        socket_in(&self.socket_folder)
    }

    /// Takes the lock or says who has it.
    pub(super) fn own(&self) -> Result<Ownership, ClusterError> {
        let path = self.folder.join("lock");
        let doing = || ClusterError::io(format!("locking {}", path.display()));
        let mut lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(doing())?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                lock.read_to_string(&mut holder).ok();
                return Err(ClusterError::TwoOwners {
                    folder: self.folder.clone(),
                    holder: holder.trim().parse().unwrap_or(0),
                });
            }
            Err(errno) => return Err(doing()(errno.into())),
        }
        lock.set_len(0).and_then(|()| lock.rewind()).map_err(doing())?;
        writeln!(lock, "{}", std::process::id()).map_err(doing())?;
        Ok(Ownership { _lock: lock })
    }

    /// The major version of the data that is there, `None` if there is none yet.
    pub(super) fn data_major(&self) -> Result<Option<u32>, ClusterError> {
        let data = self.data();
        match fs::read_to_string(data.join("PG_VERSION")) {
            Ok(text) => {
                let major = text.trim().split('.').next().and_then(|number| number.parse().ok());
                major.map(Some).ok_or(ClusterError::NotACluster { data })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !data.exists() => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ClusterError::NotACluster { data }),
            Err(error) => Err(ClusterError::io(format!("reading {}", data.join("PG_VERSION").display()))(error)),
        }
    }

    /// The account for the server. Data that is there decides: root lends whoever owns it, anyone else must.
    pub(super) fn server_account(&self) -> Result<Account, ClusterError> {
        let chosen = Account::for_server()?;
        let Ok(data) = fs::metadata(self.data()) else { return Ok(chosen) };
        if data.uid() == chosen.uid {
            return Ok(chosen);
        }
        match Account::by_uid(data.uid())? {
            Some(owner) if rustix::process::getuid().is_root() && owner.uid != 0 => Ok(owner),
            owner => Err(ClusterError::OtherAccount {
                data: self.data(),
                owner: owner.map_or_else(|| data.uid().to_string(), |owner| owner.name),
                account: chosen.name,
            }),
        }
    }

    /// Refuses a folder that the server's account cannot enter. Below root's home it cannot.
    pub(super) fn check_reach(&self, account: &Account) -> Result<(), ClusterError> {
        match first_barred(&self.folder, account)? {
            None => Ok(()),
            Some(barred) => {
                Err(ClusterError::OutOfReach { folder: self.folder.clone(), barred, account: account.name.clone() })
            }
        }
    }

    /// Makes the socket's folder, in a short place if the usual one would give too long a path.
    pub(super) fn with_socket(mut self, account: &Account) -> Result<Places, ClusterError> {
        if !fits(&self.socket_folder) {
            self.socket_folder = self.short_folder(account)?;
        }
        make_private(&self.socket_folder, account)?;
        Ok(self)
    }

    /// The same for the same cluster every time, so that an orphan's socket is found again.
    fn short_folder(&self, account: &Account) -> Result<PathBuf, ClusterError> {
        let digest = ring::digest::digest(&ring::digest::SHA256, self.folder.as_os_str().as_bytes());
        let name = format!("hunch-{}-{}", account.uid, hex::encode(&digest.as_ref()[..6]));
        [std::env::temp_dir(), PathBuf::from("/tmp")]
            .into_iter()
            .map(|parent| parent.join(&name))
            .find(|folder| fits(folder) && folder.parent().is_some_and(Path::is_dir))
            .ok_or_else(|| {
                let path = self.socket();
                let bytes = path.as_os_str().as_bytes().len();
                ClusterError::PathTooLong { path, bytes, max: SOCKET_PATH_BYTES_MAX }
            })
    }
}

/// Makes a folder and its missing parents with mode 0755, whatever the caller's umask says: the server may run
/// under another account and must get through.
fn make_searchable(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_searchable(parent)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => fs::set_permissions(folder, fs::Permissions::from_mode(0o755)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// `preferred` if the server's account can get there, else a folder of its own for that path below
/// /var/lib/hunch. The two differ only for root, whose home no other account may enter.
///
/// # Errors
/// [`ClusterError::NoAccount`] and its like.
pub fn reachable_folder(preferred: &Path) -> Result<PathBuf, ClusterError> {
    let absolute = std::path::absolute(preferred).map_err(ClusterError::io("reading the working folder's name"))?;
    if first_barred(&absolute, &Account::for_server()?)?.is_none() {
        return Ok(absolute);
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, absolute.as_os_str().as_bytes());
    Ok(Path::new("/var/lib/hunch").join(hex::encode(&digest.as_ref()[..6])))
}

/// The outermost existing folder on the way to `folder` that `account` may not enter.
fn first_barred(folder: &Path, account: &Account) -> Result<Option<PathBuf>, ClusterError> {
    let mut way: Vec<&Path> = folder.ancestors().filter(|folder| folder.exists()).collect();
    way.reverse();
    for folder in way {
        let mut enter = Command::new("/bin/sh");
        account.run(&mut enter);
        let entered = enter
            .current_dir("/")
            .args(["-c", "cd -- \"$1\"", "sh"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(ClusterError::io("asking whether the server can reach its folder"))?;
        if !entered.success() {
            return Ok(Some(folder.to_owned()));
        }
    }
    Ok(None)
}

fn socket_in(folder: &Path) -> PathBuf {
    folder.join(format!(".s.PGSQL.{PORT}"))
}

fn fits(folder: &Path) -> bool {
    socket_in(folder).as_os_str().as_bytes().len() <= SOCKET_PATH_BYTES_MAX
}

/// A folder of mode 0700 that belongs to `account`. One that a stranger put there is refused.
pub(super) fn make_private(folder: &Path, account: &Account) -> Result<(), ClusterError> {
    let doing = || ClusterError::io(format!("making the folder {}", folder.display()));
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => account.give(folder)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(doing()(error)),
    }
    let seen = fs::symlink_metadata(folder).map_err(doing())?;
    if !seen.is_dir() || seen.uid() != account.uid {
        return Err(ClusterError::OtherAccount {
            data: folder.to_owned(),
            owner: seen.uid().to_string(),
            account: account.name.clone(),
        });
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(doing())
}

/// Writes a file that the server's account can read.
pub(super) fn write_for(account: &Account, path: &Path, text: &str) -> Result<(), ClusterError> {
    fs::write(path, text).map_err(ClusterError::io(format!("writing {}", path.display())))?;
    account.give(path)
}
