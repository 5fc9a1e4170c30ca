//! Parameters after a scenario's name: `big:workers=50,pods=2000`.

use super::settings::Size;

/// Splits `NAME:PARAMETERS`; without a colon, or with one that belongs to a path, there are no parameters.
pub fn split(what: &str) -> (&str, &str) {
    match what.rsplit_once(':') {
        Some((name, parameters)) if parameters.is_empty() || parameters.contains('=') => (name, parameters),
        _ => (what, ""),
    }
}

/// Sets what `parameters` says.
pub fn apply(size: &mut Size, parameters: &str) -> Result<(), String> {
    for pair in parameters.split(',').filter(|pair| !pair.trim().is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is not NAME=NUMBER"))?;
        let number: u32 =
            value.trim().parse().map_err(|_| format!("{:?} is not a whole number", value.trim()))?;
        match key.trim() {
            "control-planes" | "control_planes" => size.control_planes = number,
            "workers" => size.workers = number,
            "pods" => size.pods = number,
            "zones" => size.zones = number,
            other => {
                return Err(format!(
                    "there is no parameter {other:?}: there are control-planes, workers, pods, zones"
                ));
            }
        }
    }
    Ok(())
}
