//! Secrets of this installation: made once, kept in files that only we can read, never in settings or the log.

use anyhow::Context;
use hunch_kernel::{Entropy, SystemEntropy, random_token};
use ring::digest::{SHA256, digest};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The secret in `folder/name`, made if it is not there yet.
///
/// # Errors
/// When the file cannot be read or made.
pub fn secret(folder: &Path, name: &str, entropy: &dyn Entropy) -> anyhow::Result<String> {
    let bytes = secret_bytes(folder, name, || anyhow::Ok(random_token(entropy).into_bytes()))?;
    Ok(String::from_utf8(bytes).with_context(|| folder.join(name).display().to_string())?.trim().to_owned())
}

/// As [`secret`], for secrets that are bytes; `make` makes a new one.
///
/// # Errors
/// When the file cannot be read or made.
pub fn secret_bytes<E>(folder: &Path, name: &str, make: impl FnOnce() -> Result<Vec<u8>, E>) -> anyhow::Result<Vec<u8>>
where
    anyhow::Error: From<E>,
{
    let path = folder.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => return Ok(bytes),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| path.display().to_string()),
    }
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let made = make().map_err(anyhow::Error::from)?;
    // Beside its place first, so that a crash never leaves half a secret.
    let draft = folder.join(format!(".{name}.{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
        file.write_all(&made)?;
        file.sync_all()?;
        std::fs::rename(&draft, &path)
    };
    write().with_context(|| path.display().to_string())?;
    Ok(made)
}

/// Prints a new token and, for the settings, its digest. Nothing is kept.
pub fn new_approver() {
    let token = random_token(SystemEntropy::shared().as_ref());
    let digest = hex::encode(digest(&SHA256, token.as_bytes()));
    println!("token, for the second person alone:   {token}");
    println!("digest, for the programme\'s settings: operator.approver_sha256 = {digest}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use hunch_kernel::SeededEntropy;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_made_once_and_only_ours_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let entropy = SeededEntropy::shared(1);
        let first = secret(folder.path(), "operator-token", entropy.as_ref()).unwrap();
        assert_eq!(secret(folder.path(), "operator-token", entropy.as_ref()).unwrap(), first);
        let mode = std::fs::metadata(folder.path().join("operator-token")).unwrap().permissions().mode();
        assert_eq!((first.len(), mode & 0o777), (64, 0o600));
    }
}
