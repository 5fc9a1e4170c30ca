//! The steps of a control-plane reboot that wait, as the screens tell them.

/// The steps that wait, in order, and whether each changes something and so asks.
pub const STEPS: [(&str, bool); 14] = [
    ("preflight", false),
    ("lock", true),
    ("backup", true),
    ("predict evictions", false),
    ("cordon", true),
    ("move etcd leader", true),
    ("drain", true),
    ("residual check", false),
    ("read gates again", false),
    ("reboot", true),
    ("gates twice", false),
    ("uncordon", true),
    ("settle", false),
    ("unlock", true),
];
