fn forged_stake(
    member: hunch_kernel::MemberId,
    now: jiff::Timestamp,
    given_at: hunch_kernel::WallTime,
) -> hunch_safeguards::StakePermit {
    hunch_safeguards::StakePermit {
        member,
        category: String::new(),
        jurisdiction: String::new(),
        standing_version: 1,
        judged_at: now,
        age_reached: 99,
        place_until: now,
        given_at,
        used_for: std::sync::OnceLock::new(),
    }
}
