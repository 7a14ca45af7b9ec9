//! Mistakes that the simulation plants to prove that it finds them. Without the feature `seeded-bugs` they do not
//! exist: the question is a constant.

#[cfg(feature = "seeded-bugs")]
static PLANTED: std::sync::RwLock<Option<&'static str>> = std::sync::RwLock::new(None);

/// Whether the mistake of this name is planted in this process.
#[cfg(not(feature = "seeded-bugs"))]
#[inline(always)]
pub const fn seeded_bug(_name: &str) -> bool {
    false
}

/// Whether the mistake of this name is planted in this process.
#[cfg(feature = "seeded-bugs")]
pub fn seeded_bug(name: &str) -> bool {
    *crate::read_lock(&PLANTED) == Some(name)
}

/// Plants one mistake, or none.
#[cfg(feature = "seeded-bugs")]
pub fn plant_bug(name: Option<&'static str>) {
    *crate::write_lock(&PLANTED) = name;
}

/// Plants the mistake of this name for as long as the process lives. False in a build that has none.
#[cfg(feature = "seeded-bugs")]
pub fn plant_for_ever(name: String) -> bool {
    plant_bug(Some(Box::leak(name.into_boxed_str())));
    true
}

/// Plants the mistake of this name for as long as the process lives. False in a build that has none.
#[cfg(not(feature = "seeded-bugs"))]
pub fn plant_for_ever(_name: String) -> bool {
    false
}
