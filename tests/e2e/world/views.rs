//! Checks that the views agree with the log: a second projector rebuilds them in another database, and every row
//! is compared.

use std::collections::BTreeMap;

use sqlx::{Connection as _, PgConnection};
use verbatim::{dev::NatsUser, views};

use super::{Backbone, Database, Node, World, eventually};

impl<B: Backbone> World<B> {
    /// Builds all views from position 0 and compares them with the live ones.
    pub async fn views_equal_a_rebuild(&self) {
        let anew = Database::new().await;
        let mut projector = Node::start(&self.nats, &anew, self.streams, "projector", &[]).await;
        for database in [&self.database, &anew] {
            self.views_have_caught_up(database).await;
        }
        assert_eq!(
            rows_of(&self.database, "view").await,
            rows_of(&anew, "view").await,
            "the views differ from the log"
        );
        projector.stop().await;
        assert!(projector.errors().is_empty(), "{:#?}", projector.errors());
        anew.drop().await;
    }

    async fn views_have_caught_up(&self, database: &Database) {
        let client = self.nats.client(NatsUser::Verbatim).await;
        let jetstream = async_nats::jetstream::new(client);
        let mut connection = PgConnection::connect(&database.url).await.expect("Postgres");
        let connection = tokio::sync::Mutex::new(&mut connection);
        eventually("the views have caught up with the log", || async {
            for index in 0..self.streams {
                let stream = jetstream.get_stream(format!("CHAT_{index}")).await.expect("stream");
                let last = stream.cached_info().state.last_sequence as i64;
                let at: Vec<i64> =
                    sqlx::query_scalar("select position from view.checkpoint where stream = $1")
                        .bind(index as i32)
                        .fetch_all(&mut **connection.lock().await)
                        .await
                        .expect("checkpoints");
                if at.len() != views::ALL.len() || at.iter().any(|at| *at != last) {
                    return false;
                }
            }
            true
        })
        .await;
    }
}

/// Every row of every view.
pub async fn rows_of(database: &Database, schema: &str) -> BTreeMap<&'static str, Vec<String>> {
    let mut connection = PgConnection::connect(&database.url).await.expect("Postgres");
    let mut all = BTreeMap::new();
    for table in views::tables() {
        let sql = format!("select row_to_json(t)::text from {schema}.{table} t order by 1");
        let rows: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection).await.expect("rows");
        all.insert(table, rows);
    }
    all
}
