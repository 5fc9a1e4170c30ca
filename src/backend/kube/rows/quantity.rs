//! Quantities of resources as numbers (`apimachinery/pkg/api/resource`).

use crate::domain::placement::Amounts;
use serde_json::Value;
use std::collections::BTreeMap;

/// A list of resources, `requests` or `allocatable`.
pub(super) type Quantities = BTreeMap<String, Value>;

/// Thousandths of a quantity, rounded up: `100m`, `1.5`, `128974848`, `129M`, `123Mi`, `1e3`. `None` = not a quantity.
pub(super) fn milli(value: &Value) -> Option<u64> {
    if let Some(number) = value.as_u64() {
        return number.checked_mul(1000);
    }
    let number = value.as_f64().map(|number| number.to_string());
    let text = number.as_deref().or_else(|| value.as_str())?.trim();
    let digits = text.find(|ch: char| !ch.is_ascii_digit() && ch != '.').unwrap_or(text.len());
    let (mantissa, suffix) = text.split_at(digits);
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + part.len() == 0 || whole.len() + part.len() > 24 {
        return None;
    }
    let number: u128 = format!("{whole}{part}").parse().ok()?;
    let (factor, divisor) = scale(suffix)?;
    let scaled = number.checked_mul(1000)?.checked_mul(factor)?;
    let divisor = divisor.checked_mul(10_u128.checked_pow(u32::try_from(part.len()).ok()?)?)?;
    u64::try_from(scaled.div_ceil(divisor)).ok()
}

/// What a suffix multiplies by, and divides by.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    const SMALL: [&str; 3] = ["m", "u", "n"];
    let place = |list: &[&str]| list.iter().position(|known| *known == suffix);
    let power = |base: u128, place: usize| base.checked_pow(u32::try_from(place + 1).ok()?);
    if suffix.is_empty() {
        return Some((1, 1));
    }
    if let Some(place) = place(&BINARY) {
        return Some((power(1024, place)?, 1));
    }
    if let Some(place) = place(&DECIMAL) {
        return Some((power(1000, place)?, 1));
    }
    if let Some(place) = place(&SMALL) {
        return Some((1, power(1000, place)?));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let power = 10_u128.checked_pow(exponent.unsigned_abs())?;
    Some(if exponent < 0 { (1, power) } else { (power, 1) })
}

/// Whole units of a quantity, rounded up.
fn whole(value: &Value) -> u64 {
    milli(value).unwrap_or(0).div_ceil(1000)
}

/// A list as amounts, without the pods (which are counted, not asked for) and without what is zero.
pub(super) fn amounts(list: &Quantities) -> Amounts {
    let mut amounts = Amounts::default();
    let mut others = BTreeMap::new();
    for (name, value) in list {
        match name.as_str() {
            "cpu" => amounts.cpu_milli = milli(value).unwrap_or(0),
            "memory" => amounts.memory = whole(value),
            "pods" => {}
            name => {
                let count = whole(value);
                if count > 0 {
                    others.insert(super::tidy(name.to_owned()), count);
                }
            }
        }
    }
    amounts.others = (!others.is_empty()).then(|| Box::new(others));
    amounts
}

/// The greater of two, resource by resource.
pub(super) fn greater(one: Amounts, other: Amounts) -> Amounts {
    let mut most = Amounts {
        cpu_milli: one.cpu_milli.max(other.cpu_milli),
        memory: one.memory.max(other.memory),
        others: one.others,
    };
    for (name, count) in other.others.into_iter().flat_map(|others| *others) {
        let mine = most.others.get_or_insert_default().entry(name).or_default();
        *mine = (*mine).max(count);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quantities_as_the_api_writes_them() {
        for (text, thousandths) in [
            (json!("100m"), Some(100)),
            (json!("1"), Some(1000)),
            (json!(2), Some(2000)),
            (json!(0.5), Some(500)),
            (json!("1.5"), Some(1500)),
            (json!("2Ki"), Some(2_048_000)),
            (json!("1.5Gi"), Some(1_610_612_736_000)),
            (json!("129M"), Some(129_000_000_000)),
            (json!("1e3"), Some(1_000_000)),
            (json!("5e-1"), Some(500)),
            (json!("1u"), Some(1)),
            (json!(""), None),
            (json!("much"), None),
            (json!("1Xi"), None),
            (json!("-1"), None),
            (json!("99999999999999999999999999"), None),
            (json!("9e99"), None),
        ] {
            assert_eq!(milli(&text), thousandths, "{text}");
        }
    }

    #[test]
    fn lists_keep_what_is_counted() {
        let list: Quantities =
            serde_json::from_value(json!({"cpu": "4", "memory": "1Ki", "pods": "110", "nvidia.com/gpu": "2",
                                          "hugepages-2Mi": "0"}))
            .unwrap();
        let amounts = amounts(&list);
        assert_eq!((amounts.cpu_milli, amounts.memory, amounts.other("nvidia.com/gpu")), (4000, 1024, 2));
        assert_eq!(amounts.others.as_ref().map(|others| others.len()), Some(1));
    }
}
