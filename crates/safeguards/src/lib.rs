//! Who may stake what, where and how much; and who may be prompted to. The only maker of permits.
//!
//! Invariants
//! - S1: no order and no prompt without a permit, and only this crate can make one.
//! - S2: limits count holds and orders in flight in full; winnings never refill them, only unfilled stake does.
//! - S3: nothing that protects loosens early, by any path.
//! - S4: whoever is excluded, on a break, under age, elsewhere or opted out is not prompted; nor is anybody shortly after
//!   a loss or a refused stake, near a limit, or who had enough prompts. All of it stands in rows, none in memory alone.
//! - Whoever cannot be judged is denied.
//!
//! A permit cannot be made outside, nor copied ([`StakePermit`]), nor used for two orders:
//! ```compile_fail,E0382
//! fn two_orders(permit: hunch_safeguards::PromptPermit) {
//!     drop(permit);
//!     drop(permit);
//! }
//! ```

mod changed_person;
#[cfg(test)]
mod clock_changes;
mod denial;
mod exclusion;
mod gate;
mod joining;
mod limits;
mod permit;
mod place;
mod prompts;
mod protect;
mod rules;
mod sitting;
mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use changed_person::ChangePersonError;
pub use denial::{DENIALS, Denial, DenialCode};
pub use exclusion::{BreakTerm, ExclusionTerm, Protection, ReturnRefusal};
pub use gate::{Charges, Overview, Safeguards, TownPlace, restore, still_holds};
pub use joining::{DecideError, Decided, Decision, FoundLikeness, JoinError};
pub use limits::{HouseLimits, LimitRefusal, Limits, Raise, Usage, Windows};
pub use permit::{OfferPermit, PromptPermit, StakePermit};
pub use prompts::{
    COOL_OFF, GiveError, PROMPTS_DAY_MAX, PROMPTS_WEEK_MAX, PromptsHad, Surface, give_prompts, note_losses,
    note_rejections,
};
pub use protect::{Change, ChangeAnswer, ChangeRefusal, Changed, StandingHandler, StandingRequest};
pub use sitting::Sitting;
