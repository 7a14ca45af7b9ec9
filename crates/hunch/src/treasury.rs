//! `hunch treasury`: what the dollar ledger says, and making losses good from the operator's reserve.

use anyhow::ensure;
use hunch_db::PoolSizes;
use hunch_kernel::Dollars;
use hunch_treasury::{Account, balances, is_booked, post, reserve};
use sqlx::{Acquire, PgConnection};

use crate::home::Home;
use crate::serve::business_clocks;
use crate::settings::Settings;

#[derive(clap::Subcommand, Debug)]
pub enum Treasury {
    /// Every account and its balance: what we own is positive, what we owe or were given is negative.
    Balances,
    /// Make a loss good from the operator's reserve. The same cause is booked once, however often it is asked for.
    Cover(Cover),
}

#[derive(clap::Args, Debug)]
pub struct Cover {
    #[arg(long, value_enum)]
    loss: Loss,
    /// How much, such as 12.34; never more than was lost.
    #[arg(long)]
    dollars: Dollars,
    /// Why, in the operator's own words or numbers; names the entry for ever.
    #[arg(long)]
    cause: String,
}

/// Accounts that losses gather in.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Loss {
    /// What the exchange's rounding down of settlements cost.
    SettlementRounding,
    /// What corrections could not take back.
    Correction,
    /// What contracts beyond members' holds cost.
    House,
}

impl Loss {
    fn account(self) -> Account {
        match self {
            Loss::SettlementRounding => Account::SettlementRounding,
            Loss::Correction => Account::CorrectionLoss,
            Loss::House => Account::House,
        }
    }
}

pub async fn run(treasury: &Treasury, settings: &Settings) -> anyhow::Result<()> {
    let home = Home::visit(settings, PoolSizes::default()).await?;
    let done = async {
        let mut conn = home.database.app().acquire().await?;
        if let Treasury::Cover(cover) = treasury {
            let at = business_clocks(settings, &home.database).await?.business.now();
            println!("{}", cover.book(&mut conn, at).await?);
        }
        let all = balances(&mut conn).await?;
        for account in Account::ALL {
            println!(
                "{:<22} {:>18}",
                account.name(),
                all.get(&account.code()).copied().unwrap_or_default().to_string()
            );
        }
        anyhow::Ok(())
    };
    let done = done.await;
    home.close().await?;
    done
}

impl Cover {
    /// Books it, unless it is booked already; gives the sentence that says which.
    async fn book(&self, conn: &mut PgConnection, at: jiff::Timestamp) -> anyhow::Result<String> {
        let (loss, cause) = (self.loss.account(), self.cause.trim());
        ensure!(!cause.is_empty(), "--cause must say why");
        ensure!(self.dollars > Dollars::ZERO, "--dollars must be more than nothing");
        let transfer = reserve(cause, loss, self.dollars);
        let mut tx = conn.begin().await?;
        // Two operators who cover the same loss at once must not cover it twice.
        sqlx::query("SELECT pg_advisory_xact_lock(hashtext('treasury cover'))").execute(&mut *tx).await?;
        if is_booked(&mut *tx, &transfer).await? {
            return Ok(format!("${} for {} were booked before, because of {cause:?}.", self.dollars, loss.name()));
        }
        let lost = balances(&mut tx).await?.get(&loss.code()).copied().unwrap_or_default();
        ensure!(
            self.dollars <= lost,
            "{} stands at ${lost}: there is not so much to cover; nothing was booked",
            loss.name()
        );
        post(&mut tx, std::slice::from_ref(&transfer), at).await?;
        let booked = is_booked(&mut *tx, &transfer).await?;
        ensure!(booked, "{cause:?} stands for another entry already; nothing was booked");
        tx.commit().await?;
        Ok(format!("${} for {} are booked, because of {cause:?}.", self.dollars, loss.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hunch_db::testing::TestDb;
    use hunch_exchange::ExchangeShard;
    use hunch_treasury::{Reversal, reversal};
    use uuid::Uuid;

    /// A correction of which ten dollars could not be taken back.
    fn lost_ten() -> hunch_treasury::Transfer {
        reversal(&Reversal {
            correction: Uuid::from_u128(1),
            position: Uuid::from_u128(2),
            market: "KXTEST-A".into(),
            exchange_shard: ExchangeShard(0),
            gross: Dollars(10_000_000),
            right: Dollars(10_000_000),
            taken: Dollars::ZERO,
            lost: Dollars(10_000_000),
        })
    }

    #[tokio::test]
    async fn a_loss_is_covered_once_for_each_cause_and_never_beyond_it() {
        let db = TestDb::new().await;
        let mut conn = db.app().acquire().await.unwrap();
        let at: jiff::Timestamp = "2026-11-23T17:00:00Z".parse().unwrap();
        post(&mut conn, &[lost_ten()], at).await.unwrap();
        let cover = |dollars: &str, cause: &str| Cover {
            loss: Loss::Correction,
            dollars: dollars.parse().unwrap(),
            cause: cause.to_owned(),
        };
        let first = cover("6", "ticket 881").book(&mut conn, at).await.unwrap();
        assert!(first.contains("are booked"), "{first}");
        let again = cover("6", "ticket 881").book(&mut conn, at).await.unwrap();
        assert!(again.contains("before"), "{again}");
        for (dollars, cause, why) in [
            ("4.01", "ticket 882", "stands at $4.0000"),
            ("3", "ticket 881", "another entry"),
            ("0", "ticket 882", "more than nothing"),
            ("1", "  ", "must say why"),
        ] {
            let refused = cover(dollars, cause).book(&mut conn, at).await.unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
        cover("4", "ticket 882").book(&mut conn, at).await.unwrap();
        let all = balances(&mut conn).await.unwrap();
        assert_eq!(all[&Account::CorrectionLoss.code()], Dollars::ZERO);
        assert_eq!(all[&Account::Reserve.code()], Dollars(10_000_000));
        assert_eq!(all.values().copied().sum::<Dollars>(), Dollars::ZERO);
    }
}
