//! The files of the text form: the only place that reads a folder.

use std::path::Path;

/// Name of the family and text of each `*.story` below a folder, sorted by name. The error is a message.
pub fn families(folder: &Path) -> Result<Vec<(String, String)>, String> {
    let error = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut families = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        if path
            .extension()
            .is_some_and(|extension| extension == "story")
        {
            let text = std::fs::read_to_string(&path).map_err(error)?;
            if !crate::SIGNALS.contains(&name.as_str()) {
                return Err(format!("{}: no signal has this name", path.display()));
            }
            families.push((name, text));
        }
    }
    families.sort();
    Ok(families)
}
