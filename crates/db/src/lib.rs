//! PostgreSQL for Hunch: four roles with a pool each, migrations, retried transactions, the private
//! cluster that `hunch` runs by itself, and a real database for every test.
//!
//! What always holds
//! - The application connects as `hunch_app`, which sees nothing of the schema `vault`; personal data is
//!   reached only as `hunch_vault`, which sees nothing else.
//! - Only migrations run as `hunch_owner`. The auditor can read and never write.
//! - No other crate opens a connection, and this crate knows no table of any other.

mod begin;
pub mod cluster;
pub mod columns;
mod database;
mod memory_copy;
mod migrations;
mod permanent;
pub mod roles;
pub mod testing;

pub use begin::{acts_as, begin, begin_as};
pub use columns::WallToSqlx;
pub use database::{Database, DatabaseConfig, DbError, PoolSizes, Tx, transaction};
pub use memory_copy::MemoryCopy;
pub use migrations::{is_migrated, migrate};
pub use permanent::{has_permanent_cause, is_permanent};
