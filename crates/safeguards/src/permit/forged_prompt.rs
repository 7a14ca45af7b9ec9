fn forged_prompt(member: hunch_kernel::MemberId, now: hunch_kernel::WallTime) -> hunch_safeguards::PromptPermit {
    hunch_safeguards::PromptPermit {
        member,
        device: None,
        cause: uuid::Uuid::nil(),
        category: String::new(),
        standing_version: 1,
        given_at: now,
    }
}
