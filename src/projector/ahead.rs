//! The log from a position to its end, read ahead: a stretch is fetched while others are decoded.

use futures::{Stream, StreamExt, TryStreamExt};
use sqlx::{PgConnection, PgPool};
use tenure_projections::Recorded;

use super::error::Error;
use super::reader::{self, BATCH, Stretch};
use crate::data_keys::{Leaves, Vault};

/// How many stretches are decoded at once.
const DECODING: usize = 3;

/// The stretches in order; the last is the first that is not full. The log never changes, so they may be read outside
/// of the transactions that apply them.
pub(super) fn stretches(
    conn: PgConnection,
    vault: Vault,
    from: i64,
    leaves: Leaves,
) -> impl Stream<Item = Result<Stretch, Error>> + Send {
    let fetch = |state: Option<(PgConnection, i64)>| async move {
        let Some((mut conn, from)) = state else { return Ok(None) };
        let fetched = reader::fetch(&mut conn, from).await?;
        let end = fetched.end();
        Ok::<_, Error>(Some((fetched, (end - from == BATCH).then_some((conn, end)))))
    };
    let fetched = futures::stream::try_unfold(Some((conn, from)), fetch);
    let decoding = fetched.map_ok(move |fetched| {
        let vault = vault.clone();
        let task = tokio::spawn(async move { fetched.decode(&vault, leaves).await });
        async move { task.await.map_err(|_| Error::Database(sqlx::Error::WorkerCrashed))? }
    });
    decoding.try_buffered(DECODING).boxed()
}

/// Every event after a position, opened and decoded, many at a time and in order; what cannot be decoded is left out.
/// `projector` is of the projector's role.
pub async fn events(
    projector: &PgPool,
    vault: &Vault,
    from: i64,
) -> Result<impl Stream<Item = Result<Vec<Recorded>, Error>> + Send + use<>, Error> {
    let conn = projector.acquire().await?.detach();
    let stretches = stretches(conn, vault.clone(), from, Leaves::Left);
    Ok(stretches.map_ok(|stretch| stretch.events))
}
