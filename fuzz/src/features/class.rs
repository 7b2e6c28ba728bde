//! Classes of numbers: what has the same class is taken for the same.

use std::fmt::Display;

use super::Scope;

pub fn add(scope: &mut Scope, feature: impl Into<String>) {
    scope.insert(feature.into());
}

pub fn at_most(count: usize, most: usize) -> String {
    if count < most { count.to_string() } else { format!("{most} or more") }
}

/// The class of a number: 0, or its power of two.
pub fn class(number: u64) -> String {
    match number.checked_ilog2() {
        None => "0".into(),
        Some(0) => "1".into(),
        Some(log) => format!("from 2^{log}"),
    }
}

/// A coarser one.
pub fn size(number: u64) -> &'static str {
    match number {
        0 => "0",
        1..=63 => "small",
        64..=4095 => "medium",
        4096..=0x7fff_ffff => "large",
        0x8000_0000..=0x7fff_ffff_ffff_ffff => "huge",
        _ => "wraps",
    }
}

pub fn both(scope: &mut Scope, what: impl Display, number: u64) {
    add(scope, format!("{what}: {}", size(number)));
    add(scope, format!("{what}: {}", class(number)));
}
