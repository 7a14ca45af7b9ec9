//! Addresses in, with every mistake told as a problem.

use axum::extract::{FromRequestParts, Path as AxumPath, Query as AxumQuery};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::mistake;
use crate::problem::{Problem, ProblemKind};

/// A part of the path, such as an id. One that cannot be an id names nothing.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path<T>, Problem> {
        let found = AxumPath::from_request_parts(parts, state).await;
        let sentence = "The id in the address is not one of this programme. Send one as you got it.";
        found.map(|AxumPath(value)| Path(value)).map_err(|_| Problem::new(ProblemKind::NotFound, sentence))
    }
}

/// What stands behind the question mark.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Query<T>, Problem> {
        let found = AxumQuery::from_request_parts(parts, state).await;
        found.map(|AxumQuery(value)| Query(value)).map_err(|_| mistake::of_query::<T>(parts.uri.query().unwrap_or("")))
    }
}
