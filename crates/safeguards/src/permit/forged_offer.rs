fn forged_offer(member: hunch_kernel::MemberId, now: hunch_kernel::WallTime) -> hunch_safeguards::OfferPermit {
    hunch_safeguards::OfferPermit { member, device: None, standing_version: 1, given_at: now }
}
