//! Making each file, and writing it or comparing it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap_complete::Shell;

use crate::workspace;

/// A file of the checkout and what it should hold.
struct Asset {
    path: String,
    content: Vec<u8>,
}

/// Writes the files, or with `check` compares them with what is committed.
pub(super) fn run(check: bool) -> Result<()> {
    let root = workspace::root()?;
    let mut stale = Vec::new();
    for asset in assets()? {
        let file = root.join(&asset.path);
        if !check {
            write(&file, &asset.content)?;
            println!("wrote {}", asset.path);
        } else if !fs::read(&file).is_ok_and(|committed| committed == asset.content) {
            stale.push(asset.path);
        }
    }
    if !stale.is_empty() {
        bail!(
            "not what pmap's command line gives: {}; run `cargo xtask assets` and commit",
            stale.join(", ")
        );
    }
    if check {
        println!("the manual page and the completions are what pmap's command line gives");
    }
    Ok(())
}

fn assets() -> Result<Vec<Asset>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(pmap_user::cli::command())
        .manual("User Commands")
        .render(&mut page)
        .context("cannot make the manual page")?;
    let mut assets = vec![Asset { path: "docs/pmap.1".to_owned(), content: page }];
    for (shell, name) in
        [(Shell::Bash, "pmap.bash"), (Shell::Zsh, "_pmap"), (Shell::Fish, "pmap.fish")]
    {
        let mut content = Vec::new();
        clap_complete::generate(shell, &mut pmap_user::cli::command(), "pmap", &mut content);
        assets.push(Asset { path: format!("docs/completions/{name}"), content });
    }
    Ok(assets)
}

fn write(file: &Path, content: &[u8]) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(file, content).with_context(|| format!("cannot write {}", file.display()))
}
